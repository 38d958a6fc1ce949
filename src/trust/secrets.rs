//! The secrets of a definition, read for one that is trusted and for no other.

use std::path::Path;

use crate::definition::{Definition, SecretReference};
use crate::host::Host;
use crate::http::{SECRET_CHARS_MIN, SecretValues, is_too_short, secrets_of};
use crate::model::{Error, ErrorKind};

use crate::trust::grant::Grant;

/// Refuses to read secrets for a definition that nobody vouches for, or to reach its hosts.
pub fn refuse_untrusted(definition: &Definition) -> Result<(), Error> {
    if definition.is_trusted() {
        return Ok(());
    }
    let archive = definition.archive.display();
    let asked = Grant::asked_by(definition);
    let hosts = asked.sources.iter().map(|source| match source.secrets.as_slice() {
        [] => source.base_url.clone(),
        secrets => format!("{} and send {} there", source.base_url, secrets.join(", ")),
    });
    let hosts = hosts.collect::<Vec<_>>().join("; ");
    let message =
        format!("the definition is not trusted: only {archive} holds it, and it would ask {hosts}");
    Err(Error::new(ErrorKind::Unsafe, message).help(format!(
        "read it with `windrow -a {archive} trust`, which says how to trust it; or write it out \
         with `windrow definition --out windrow.toml -a {archive}`, read it, and sync by it"
    )))
}

/// The values of a definition's secrets, as far as they are there.
pub struct FoundSecrets {
    pub values: SecretValues,
    /// What was not, and which place of the definition needs it.
    missing: Vec<String>,
}

impl FoundSecrets {
    /// Reads variables and files; `folder` is the definition's. None of them for a definition that
    /// is not trusted.
    pub fn of(definition: &Definition, folder: &Path, host: &Host) -> Self {
        let mut values = SecretValues::default();
        let mut missing = Vec::new();
        if !definition.is_trusted() {
            // Whoever made the archive may have named any variable and any file of its reader.
            return Self { values, missing };
        }
        for (place, reference) in secrets_of(definition) {
            let found = match &reference {
                SecretReference::Environment(name) => {
                    host.environment.variable(name).filter(|value| !value.is_empty()).ok_or_else(
                        || format!("the variable {name} is not set, which {place} needs"),
                    )
                }
                SecretReference::File(path) => host
                    .environment
                    .secret_file(&folder.join(path))
                    .map_err(|error| format!("cannot read the secret file {path}: {error}")),
            };
            match found {
                Ok(value) => values.insert(reference, value),
                Err(why) => missing.push(why),
            }
        }
        definition.sources.values().for_each(|source| values.remember_pairs(source));
        Self { values, missing }
    }

    /// All values.
    ///
    /// # Errors
    ///
    /// Where one is missing, or so short that it cannot be kept out of logs and answers.
    pub fn complete(self, definition: &Definition) -> Result<SecretValues, Error> {
        if self.missing.is_empty() {
            return check_lengths(definition, &self.values).map(|()| self.values);
        }
        let help = "set it in the shell that runs windrow, for example `export NAME=…`";
        Err(Error::usage(self.missing.join("; ")).help(help))
    }
}

/// Refuses secrets that are so short that they cannot be taken out of logs and answers.
fn check_lengths(definition: &Definition, values: &SecretValues) -> Result<(), Error> {
    let short = secrets_of(definition).into_iter().filter(|(_, reference)| {
        values.value(reference).is_ok_and(|value| is_too_short(definition, reference, &value))
    });
    let short: Vec<String> = short
        .map(|(place, reference)| {
            format!("{reference} for {place} has fewer than {SECRET_CHARS_MIN} characters")
        })
        .collect();
    if short.is_empty() {
        return Ok(());
    }
    let message = format!("{}: it cannot be kept out of logs and the archive", short.join("; "));
    let help = "have the API give a longer one; where it cannot, `short_secrets = true` in the \
                source takes it as it is";
    Err(Error::usage(message).help(help))
}
