//! Where variables and secret files come from. Nothing else in windrow reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The process's surroundings.
pub trait Environment: Send + Sync {
    /// The variable's value, if it is set and is text.
    fn variable(&self, name: &str) -> Option<String>;
    /// A secret kept in a file, without its trailing line ends.
    fn secret_file(&self, path: &Path) -> std::io::Result<String>;
    /// Where this program is.
    fn program(&self) -> Option<PathBuf> {
        None
    }
}

/// The real environment.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn program(&self) -> Option<PathBuf> {
        std::env::current_exe().ok()
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        let text = std::fs::read_to_string(path)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// An environment that holds what it is given.
#[derive(Default)]
pub struct FixedEnvironment {
    /// Name and value of each variable.
    pub variables: BTreeMap<String, String>,
}

impl Environment for FixedEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        ProcessEnvironment.secret_file(path)
    }
}
