//! The definition that only an archive holds.

use std::path::Path;

use crate::definition::{Definition, DefinitionOrigin, Problems, parse_definition};
use crate::host::Host;

use crate::trust::grant::digest_of;
use crate::trust::store::TrustStore;

/// The definition that only the archive holds, and whether its user has trusted it.
pub fn archived_definition(
    text: &str,
    archive: &Path,
    host: &Host,
) -> Result<Definition, Problems> {
    let mut definition = parse_definition("the archive's definition", text)?;
    archive.clone_into(&mut definition.archive);
    let store = host.environment.state_folder().map(|state| TrustStore::in_folder(&state));
    let trusted = store.is_some_and(|store| store.holds(&digest_of(&definition)));
    definition.origin = match trusted {
        true => DefinitionOrigin::TrustedArchive,
        false => DefinitionOrigin::Archive,
    };
    Ok(definition)
}
