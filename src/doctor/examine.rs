//! From facts to findings: the definition and its secrets here, the rest in its neighbours.

use super::facts::{DefinitionFacts, Facts, SecretFact, SecretFound};
use super::finding::{DoctorFinding, FaultArea};
use super::{network, storage};
use crate::http::SECRET_CHARS_MIN;
use crate::model::numbers::many;

/// Judges all facts. The order is that in which a person would look: what windrow is told, what it
/// keeps, and what lies outside.
pub fn examine(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = vec![definition(&facts.definition)];
    findings.extend(secrets(facts));
    findings.extend(storage::examine(facts));
    findings.extend(network::examine(facts));
    findings.extend(facts.waits.iter().map(|(source, why)| {
        let help = format!("`windrow sync --now {source}` asks at once");
        DoctorFinding::warn(format!("wait of {source}"), why, help)
    }));
    findings
}

fn definition(definition: &DefinitionFacts) -> DoctorFinding {
    let name = "definition";
    match definition {
        DefinitionFacts::Sound { file, sources, streams } => {
            let (sources, streams) =
                (many(*sources as u64, "source"), many(*streams as u64, "stream"));
            DoctorFinding::ok(name, format!("{file}: {sources}, {streams}"))
        }
        DefinitionFacts::Broken { message, help } => {
            let help = help.as_deref().unwrap_or("docs/definition.md says what may be written");
            DoctorFinding::bad(name, FaultArea::Definition, message, help)
        }
        DefinitionFacts::Absent => DoctorFinding::skip(name, "there is none beside the archive"),
    }
}

fn secrets(facts: &Facts) -> Vec<DoctorFinding> {
    let known = matches!(facts.definition, DefinitionFacts::Sound { .. });
    match facts.secrets.as_slice() {
        [] if known => vec![DoctorFinding::ok("secrets", "the definition needs none")],
        [] => vec![DoctorFinding::skip("secrets", "the definition names them")],
        secrets => secrets.iter().map(secret).collect(),
    }
}

fn secret(secret: &SecretFact) -> DoctorFinding {
    let name = format!("secret {}", secret.reference);
    let place = &secret.place;
    match &secret.found {
        SecretFound::Good => DoctorFinding::ok(name, format!("is there, for {place}")),
        SecretFound::Missing(why) => {
            let help = "set it in the shell that runs windrow, for example `export NAME=…`; \
                        a file is found from the definition's folder";
            DoctorFinding::bad(
                name,
                FaultArea::Definition,
                format!("{why}, and {place} needs it"),
                help,
            )
        }
        SecretFound::Short => DoctorFinding::bad(
            name,
            FaultArea::Definition,
            format!("has fewer than {SECRET_CHARS_MIN} characters, for {place}"),
            "have the API give a longer one, or say `short_secrets = true` in the source",
        ),
        SecretFound::Odd => DoctorFinding::warn(
            name,
            "holds a blank or a control character, which hardly belongs there",
            "copy it anew, without the line end and the blanks around it",
        ),
        SecretFound::Exposed { file, mode } => {
            let found = format!("{file} can be read by others (mode {mode:03o})");
            DoctorFinding::warn(name, found, format!("chmod 600 {file}"))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::doctor::Health;
    use crate::doctor::facts::{AnswerFacts, ArchiveFacts, SourceFacts, SourceReach};
    use crate::doctor::finding::DoctorVerdict;
    use crate::host::files::{FileSystem, FileSystemSort};
    use crate::model::{Timestamp, instant_from_text};

    pub fn at(text: &str) -> Timestamp {
        instant_from_text(text).expect("an instant")
    }

    /// A machine on which everything is as it should be.
    pub fn fine() -> Facts {
        let now = at("2026-01-10T12:00:00Z");
        Facts {
            now,
            definition: DefinitionFacts::Sound {
                file: "windrow.toml".to_owned(),
                sources: 1,
                streams: 2,
            },
            secrets: vec![SecretFact {
                reference: "${env:TOKEN}".to_owned(),
                place: "source s".to_owned(),
                found: SecretFound::Good,
            }],
            archive: Some(ArchiveFacts {
                path: "a.db".to_owned(),
                allow_network_fs: false,
                health: Some(Ok(Health {
                    format: 1,
                    streams: 2,
                    journal_mode: "wal".to_owned(),
                    ..Health::default()
                })),
                unwritable: None,
                bytes: 1 << 20,
                beside: vec!["-lock".to_owned()],
                holder: Ok(None),
                closed_folder: None,
                free_bytes: Ok(1 << 40),
                file_system: Some(FileSystem {
                    name: "ext4".to_owned(),
                    sort: FileSystemSort::Local,
                }),
            }),
            offline: false,
            links_up: Some(true),
            proxies: Vec::new(),
            waits: Vec::new(),
            sources: vec![SourceFacts {
                name: "s".to_owned(),
                base_url: "https://api.example.com/v1".to_owned(),
                secure: true,
                loopback: false,
                reach: SourceReach::Answered(AnswerFacts {
                    status: 404,
                    clocks: Some((now, now)),
                    ..AnswerFacts::default()
                }),
            }],
        }
    }

    /// The finding of that name.
    pub fn finding(facts: &Facts, name: &str) -> DoctorFinding {
        let findings = examine(facts);
        let found = findings.iter().find(|finding| finding.name == name);
        found.unwrap_or_else(|| panic!("no check {name} in {findings:?}")).clone()
    }

    /// A check, what is changed on the fine machine, how the check comes out, a part of what it
    /// says.
    pub type Case = (&'static str, fn(&mut Facts), DoctorVerdict, &'static str);

    /// Makes each thing wrong on purpose, once.
    pub fn each_is_found(cases: &[Case]) {
        for (name, change, expected, part) in cases {
            let mut facts = fine();
            change(&mut facts);
            let found = finding(&facts, name);
            assert_eq!(found.state, *expected, "{found:?}");
            assert!(found.found.contains(part), "{part:?} in {found:?}");
            let needs_help = matches!(expected, DoctorVerdict::Warn | DoctorVerdict::Bad(_));
            assert_eq!(found.help.is_some(), needs_help, "{found:?}");
        }
    }

    #[test]
    fn a_machine_on_which_all_is_well_has_nothing_but_ok() {
        for finding in examine(&fine()) {
            assert_eq!(finding.state, DoctorVerdict::Ok, "{finding:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_definition_and_its_secrets_is_found() {
        let missing = "secret ${env:TOKEN}";
        each_is_found(&[
            (
                "definition",
                |facts| {
                    let (message, help) = ("line 3: unknown key".to_owned(), None);
                    facts.definition = DefinitionFacts::Broken { message, help };
                },
                DoctorVerdict::Bad(FaultArea::Definition),
                "line 3",
            ),
            (
                "definition",
                |facts| facts.definition = DefinitionFacts::Absent,
                DoctorVerdict::Skip,
                "none",
            ),
            ("secrets", |facts| facts.secrets.clear(), DoctorVerdict::Ok, "needs none"),
            (
                missing,
                |facts| facts.secrets[0].found = SecretFound::Missing("is not set".to_owned()),
                DoctorVerdict::Bad(FaultArea::Definition),
                "is not set, and source s needs it",
            ),
            (
                missing,
                |facts| facts.secrets[0].found = SecretFound::Odd,
                DoctorVerdict::Warn,
                "control character",
            ),
            (
                missing,
                |facts| {
                    let (file, mode) = ("token.txt".to_owned(), 0o644);
                    facts.secrets[0].found = SecretFound::Exposed { file, mode };
                },
                DoctorVerdict::Warn,
                "mode 644",
            ),
        ]);
    }
}
