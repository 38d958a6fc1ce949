//! What a definition asks for, and by what it is remembered.

use serde::Serialize;

use crate::definition::{CheckQuestion, Definition};
use crate::http::secret_uses;
use crate::model::sha256_of;

/// What a definition may do once it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// SHA-256 of the definition without comments, hexadecimal.
    pub digest: String,
    /// The hosts that are asked, and what they are sent.
    pub sources: Vec<SourceGrant>,
    /// The SQL statements of its own that `windrow check` runs, by name.
    pub checks: Vec<(String, String)>,
}

/// What a source of a definition is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceGrant {
    pub name: String,
    /// Where its requests go.
    pub base_url: String,
    /// Other hosts that next-page addresses and redirects may lead to; they are sent no secret.
    pub allow_hosts: Vec<String>,
    /// The secrets that its requests hold, as the definition writes them: `${env:NAME}`.
    pub secrets: Vec<String>,
}

impl Grant {
    /// What `definition` asks for.
    pub fn asked_by(definition: &Definition) -> Self {
        let uses = secret_uses(definition);
        let sources = definition.sources.values().map(|source| SourceGrant {
            name: source.name.clone(),
            base_url: source.base_url.to_string(),
            allow_hosts: source.allow_hosts.clone(),
            secrets: uses
                .iter()
                .filter(|used| used.source == source.name)
                .map(|used| used.reference.to_string())
                .collect(),
        });
        let checks = definition.checks.iter().filter_map(|check| match &check.question {
            CheckQuestion::Sql(sql) => Some((check.name.clone(), sql.clone())),
            CheckQuestion::Unique { .. } => None,
        });
        Self { digest: digest_of(definition), sources: sources.collect(), checks: checks.collect() }
    }
}

/// What a definition is remembered by.
pub fn digest_of(definition: &Definition) -> String {
    sha256_of(&definition.text)
}
