//! Kinds of credentials: how they are written in `windrow.toml`, and what they mean. What each puts
//! on a request stands in a file of its own in `http/auth/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Template;
use super::context::Context;

/// How requests are authorised.
#[derive(Clone, Debug)]
pub enum Auth {
    None,
    /// By credentials that the definition names, the same for the whole run.
    Fixed(FixedAuth),
}

/// Credentials that the definition names. A kind that asks for a token is a variant of [`Auth`].
#[derive(Clone, Debug)]
pub enum FixedAuth {
    /// The header `Authorization: Bearer TOKEN`.
    Bearer(Template),
    /// The header `Authorization: Basic …`, made of both values.
    Basic {
        username: Template,
        password: Template,
    },
    /// A header of the API's own.
    Header(String, Template),
    Query(String, Template),
}

impl Auth {
    /// Its texts that hold nothing but secrets.
    pub fn secrets(&self) -> Vec<&Template> {
        match self {
            Auth::None => Vec::new(),
            Auth::Fixed(
                FixedAuth::Bearer(secret)
                | FixedAuth::Header(_, secret)
                | FixedAuth::Query(_, secret)
                | FixedAuth::Basic { password: secret, .. },
            ) => vec![secret],
        }
    }

    /// Its texts that may hold a secret and need not, such as a user name.
    pub fn names(&self) -> Vec<&Template> {
        self.pair().map(|(username, _)| username).into_iter().collect()
    }

    /// A user name and a password that are sent as one text in base64.
    pub fn pair(&self) -> Option<(&Template, &Template)> {
        let Auth::Fixed(fixed) = self else { return None };
        match fixed {
            FixedAuth::Basic { username, password } => Some((username, password)),
            FixedAuth::Bearer(_) | FixedAuth::Header(..) | FixedAuth::Query(..) => None,
        }
    }

    /// The header of the API's own that holds a credential.
    pub fn own_header(&self) -> Option<&str> {
        let Auth::Fixed(fixed) = self else { return None };
        match fixed {
            FixedAuth::Header(name, _) => Some(name),
            FixedAuth::Bearer(_) | FixedAuth::Basic { .. } | FixedAuth::Query(..) => None,
        }
    }

    /// The query parameter that holds a credential.
    pub fn query_parameter(&self) -> Option<&str> {
        let Auth::Fixed(fixed) = self else { return None };
        match fixed {
            FixedAuth::Query(name, _) => Some(name),
            FixedAuth::Bearer(_) | FixedAuth::Basic { .. } | FixedAuth::Header(..) => None,
        }
    }
}

/// How requests are authorised, as it is written. Credentials are references: `${env:NAME}` or
/// `${file:PATH}`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawAuth {
    /// Requests carry no credentials.
    None {},
    /// Sends the header `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token, as a reference.
        token: String,
    },
    /// Sends the header `Authorization: Basic …`.
    Basic {
        /// The user name; may be plain text.
        username: String,
        /// The password, as a reference.
        password: String,
    },
    /// A header of the API's own.
    Header {
        /// The name of the header.
        name: String,
        /// The header's value, as a reference.
        value: String,
    },
    /// Adds a parameter to the query of each request.
    Query {
        /// The name of the parameter.
        name: String,
        /// The parameter's value, as a reference.
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
    let fixed = match raw {
        RawAuth::None {} => None,
        RawAuth::Bearer { token } => secret("token", token).map(FixedAuth::Bearer),
        RawAuth::Basic { username, password } => {
            let password = secret("password", password);
            let place = ["sources", source, "auth", "username"];
            let username = context.template(&place, username, &[]);
            let pair = username.zip(password);
            pair.map(|(username, password)| FixedAuth::Basic { username, password })
        }
        RawAuth::Header { name, value } => {
            secret("value", value).map(|value| FixedAuth::Header(name.clone(), value))
        }
        RawAuth::Query { name, value } => {
            secret("value", value).map(|value| FixedAuth::Query(name.clone(), value))
        }
    };
    fixed.map_or(Auth::None, Auth::Fixed)
}
