//! Where variables and secret files come from. Nothing else in windrow reads them.

use std::path::{Path, PathBuf};

use super::files::read_named_text;

/// The most bytes of a secret file, which may be a chain of certificates (a few KiB each); a wrong
/// file is refused before it fills the memory.
const SECRET_BYTES_MAX: u64 = 1024 * 1024;

/// The variables, files and folders that a process has around it.
pub trait Environment: Send + Sync {
    /// The variable's value, if it is set and is text.
    fn variable(&self, name: &str) -> Option<String>;
    /// A secret kept in a file, without its trailing line ends; what is no regular file is an
    /// error.
    fn secret_file(&self, path: &Path) -> std::io::Result<String>;
    /// Where this program is.
    fn program(&self) -> Option<PathBuf> {
        None
    }
    /// Where this user's programs keep what they need from one run to the next, such as logs;
    /// none where nothing may be kept.
    fn state_folder(&self) -> Option<PathBuf> {
        None
    }
    /// Where this user's keys are; none where there can be no such place.
    fn keys_folder(&self) -> Option<PathBuf> {
        None
    }
}

/// The environment of this process.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn program(&self) -> Option<PathBuf> {
        std::env::current_exe().ok()
    }

    /// `WINDROW_STATE_DIR`, which may be empty to keep nothing; else `$XDG_STATE_HOME/windrow`,
    /// `~/.local/state/windrow`, or what macOS and Windows have for it.
    fn state_folder(&self) -> Option<PathBuf> {
        if let Some(own) = self.variable("WINDROW_STATE_DIR") {
            return (!own.is_empty()).then(|| PathBuf::from(own));
        }
        let folders = directories::ProjectDirs::from("", "", "windrow")?;
        Some(folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_owned())
    }

    /// `WINDROW_KEYS_DIR`; else `$XDG_CONFIG_HOME/windrow/keys`, `~/.config/windrow/keys`, or what
    /// macOS and Windows have for it.
    fn keys_folder(&self) -> Option<PathBuf> {
        if let Some(own) = self.variable("WINDROW_KEYS_DIR").filter(|own| !own.is_empty()) {
            return Some(PathBuf::from(own));
        }
        let folders = directories::ProjectDirs::from("", "", "windrow")?;
        Some(folders.config_dir().join("keys"))
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        let text = read_named_text(path, SECRET_BYTES_MAX)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}
