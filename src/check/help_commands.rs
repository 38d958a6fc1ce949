//! The commands that mend what is found, as a person can paste them. Pure.

use chrono::Timelike;
use chrono_tz::Tz;

use crate::model::{Timestamp, instant_to_text};

/// Writes commands for the archive in hand.
#[derive(Clone, Debug)]
pub struct HelpCommands {
    /// What every command needs to find this archive again, such as `-d other.toml`.
    options: Vec<String>,
    archive: String,
}

impl HelpCommands {
    /// Commands with these options, about this archive.
    pub fn new(options: Vec<String>, archive: String) -> Self {
        Self { options, archive }
    }

    /// A command with these words.
    pub fn command(&self, name: &str, words: &[&str]) -> String {
        let all = ["windrow", name].into_iter().chain(words.iter().copied());
        let options = self.options.iter().map(String::as_str);
        all.chain(options).map(word).collect::<Vec<_>>().join(" ")
    }

    /// Reads a stretch of a stream again.
    /// `zone` is the stream's: its dates are read in it.
    pub fn sync(&self, stream: &str, zone: Tz, from: Timestamp, to: Timestamp) -> String {
        let (from, to) = (argument(from, zone), argument(to, zone));
        self.command("sync", &[stream, "--from", &from, "--to", &to])
    }

    /// Reads of a stream what is due.
    pub fn sync_due(&self, stream: &str) -> String {
        self.command("sync", &[stream])
    }

    /// Takes the doubles out of a table of this archive.
    pub fn adopt(&self, table: &str, key: &[String]) -> String {
        let key = key.join(",");
        self.command("adopt", &[&self.archive, "--in-place", "--table", table, "--key", &key])
    }
}

/// An instant as an argument: a date where that says it all.
fn argument(at: Timestamp, zone: Tz) -> String {
    let local = at.with_timezone(&zone);
    if local.num_seconds_from_midnight() == 0 && local.nanosecond() == 0 {
        return local.date_naive().to_string();
    }
    instant_to_text(at).replace("+00:00", "Z")
}

/// A word for a POSIX shell.
fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let at = |text: &str| crate::model::instant_from_text(text).expect("an instant");
        let help_commands =
            HelpCommands::new(vec!["-d".into(), "my file.toml".into()], "a.db".into());
        assert_eq!(
            help_commands.sync(
                "usage",
                Tz::UTC,
                at("2026-01-01T00:00:00Z"),
                at("2026-01-01T06:00:00Z")
            ),
            "windrow sync usage --from 2026-01-01 --to 2026-01-01T06:00:00Z -d 'my file.toml'"
        );
        let berlin = chrono_tz::Europe::Berlin;
        assert_eq!(
            help_commands.sync("u", berlin, at("2026-01-01T23:00:00Z"), at("2026-01-03T00:00:00Z")),
            "windrow sync u --from 2026-01-02 --to 2026-01-03T00:00:00Z -d 'my file.toml'"
        );
        assert_eq!(word("it's; rm"), r"'it'\''s; rm'");
        assert_eq!(word(""), "''");
    }
}
