//! Kinds of credentials: how they are written in `windrow.toml`, and what they mean. What each puts
//! on a request stands in a file of its own in `http/auth/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;
use super::resolve::Context;

/// How requests are authorised.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer …`.
    Bearer(Template),
    /// `Authorization: Basic …`.
    Basic {
        /// The user name.
        username: Template,
        /// The password.
        password: Template,
    },
    /// A header of the API's own.
    Header(String, Template),
    /// A query parameter.
    Query(String, Template),
}

impl Auth {
    /// Its texts that hold nothing but secrets.
    pub fn secrets(&self) -> Vec<&Template> {
        match self {
            Auth::None => Vec::new(),
            Auth::Bearer(template) | Auth::Header(_, template) | Auth::Query(_, template) => {
                vec![template]
            }
            Auth::Basic { password, .. } => vec![password],
        }
    }

    /// Its texts that may hold a secret and need not, such as a user name.
    pub fn names(&self) -> Vec<&Template> {
        match self {
            Auth::Basic { username, .. } => vec![username],
            Auth::None | Auth::Bearer(_) | Auth::Header(..) | Auth::Query(..) => Vec::new(),
        }
    }
}

/// How requests are authorised, as it is written. Credentials are references: `${env:NAME}` or
/// `${file:PATH}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawAuth {
    /// No credentials.
    None {},
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// The user name; may be plain text.
        username: String,
        /// The password.
        password: String,
    },
    /// A header of the API's own.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What `auth` of a source means.
pub(in crate::definition) fn resolve_auth(
    source: &str,
    raw: &RawAuth,
    context: &mut Context<'_>,
) -> Auth {
    let mut secret = |key: &str, text: &str| -> Option<Template> {
        let place = ["sources", source, "auth", key];
        let template = context.template(&place, text, &[])?;
        // Basic with a token for a user name and no password: nothing is no secret.
        let is_nothing = key == "password" && text.is_empty();
        if template.secrets().next().is_none() && !is_nothing {
            let message = format!("`{key}` is written out, and the definition is handed on");
            let help = "keep it in a variable and write `${env:NAME}`, or `${file:PATH}`";
            context.report_help(&place, message, Some(help.to_owned()));
        }
        Some(template)
    };
    let resolved = match raw {
        RawAuth::None {} => Some(Auth::None),
        RawAuth::Bearer { token } => secret("token", token).map(Auth::Bearer),
        RawAuth::Basic { username, password } => {
            let password = secret("password", password);
            let place = ["sources", source, "auth", "username"];
            let username = context.template(&place, username, &[]);
            username.zip(password).map(|(username, password)| Auth::Basic { username, password })
        }
        RawAuth::Header { name, value } => {
            secret("value", value).map(|value| Auth::Header(name.clone(), value))
        }
        RawAuth::Query { name, value } => {
            secret("value", value).map(|value| Auth::Query(name.clone(), value))
        }
    };
    resolved.unwrap_or(Auth::None)
}
