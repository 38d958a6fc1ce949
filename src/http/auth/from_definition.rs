//! Credentials that the definition names: bearer token, Basic, a header, a query parameter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::definition::{EscapeContext, FixedAuth, SecretReference, Template, TemplateValues};
use crate::http::address::set_parameter;
use crate::http::redact::SecretValues;
use crate::http::source_error::{SourceError, SourceErrorKind};
use crate::http::transport::HttpRequest;

use super::Authorize;

/// Credentials that stay the same for the whole run.
pub struct FixedCredentials {
    auth: FixedAuth,
}

impl FixedCredentials {
    /// Those of a source.
    pub fn new(auth: FixedAuth) -> Self {
        Self { auth }
    }

    fn put(&self, request: &mut HttpRequest, secrets: &SecretValues) -> Result<(), String> {
        let secret = |reference: &SecretReference| secrets.value(reference);
        let none = TemplateValues::default();
        let render = |template: &Template| template.render(&none, EscapeContext::Plain, &secret);
        match &self.auth {
            FixedAuth::Bearer(token) => {
                request.set_header("authorization", format!("Bearer {}", render(token)?));
            }
            FixedAuth::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{}:{}", render(username)?, render(password)?));
                request.set_header("authorization", format!("Basic {pair}"));
            }
            FixedAuth::Header(name, value) => request.set_header(name, render(value)?),
            FixedAuth::Query(name, value) => set_parameter(&mut request.url, name, &render(value)?),
        }
        Ok(())
    }
}

impl Authorize for FixedCredentials {
    fn authorize(
        &self,
        request: &mut HttpRequest,
        secrets: &SecretValues,
    ) -> Result<(), SourceError> {
        self.put(request, secrets)
            .map_err(|message| SourceError::new(SourceErrorKind::Definition, message))
    }
}
