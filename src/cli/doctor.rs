//! `windrow doctor`: what is wrong, and the help.

use std::path::Path;
use std::sync::Arc;

use crate::definition::{Definition, Problems};
use crate::doctor::{DefinitionFacts, DoctorFinding, Surroundings, Way, examine, gather, worst};
use crate::host::Host;
use crate::http::{HttpTransport, NetError, Transport};
use crate::model::{Error, ErrorKind, ExitCode, printable};
use crate::sync::transports;

use super::args::DoctorArguments;
use super::global::Global;
use super::output::Output;
use super::workspace::load_for_sync;

pub fn run(
    args: &DoctorArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let loaded = load_for_sync(global, host);
    let told = tell(&loaded, global);
    let definition = loaded.as_ref().ok();
    let archive = definition.map(|definition| definition.archive.as_path());
    let facts = gather(Surroundings {
        told,
        definition,
        archive: archive.or(global.archive.as_deref()),
        folder: global.definition.parent().unwrap_or(Path::new(".")),
        way: match definition {
            _ if args.offline => Way::Offline,
            // It names the hosts, and nobody vouches for it.
            Some(definition) if !definition.is_trusted() => Way::Offline,
            _ => way(definition),
        },
        host,
    });
    if let Some(cause) = host.stop.cause() {
        return Ok(cause.into());
    }
    let findings = examine(&facts);
    let worst = worst(&findings);
    if output.json() {
        output.json_line(&serde_json::json!({ "checks": findings, "worst": worst }))?;
        return Ok(worst.exit_code());
    }
    output.result(&page(&findings))?;
    if let Err(error) = loaded
        && error.problems().is_some()
    {
        // Each with its line and a caret, which one line cannot hold.
        output.fail(&error);
    }
    Ok(worst.exit_code())
}

/// What became of reading the definition, in one line.
fn tell(loaded: &Result<Definition, Error>, global: &Global) -> DefinitionFacts {
    match loaded {
        Ok(definition) => DefinitionFacts::Sound {
            file: match global.definition.exists() {
                true => global.definition.display().to_string(),
                false if definition.is_trusted() => "the archive's own".to_owned(),
                false => "the archive's own, which is not trusted (see `windrow trust`)".to_owned(),
            },
            sources: definition.sources.len(),
            streams: definition.streams.len(),
        },
        Err(error) if error.kind == ErrorKind::Usage => match error.problems() {
            Some(problems) => {
                let help = problems.problems.iter().find_map(|problem| problem.help.clone());
                DefinitionFacts::Broken { message: in_one_line(problems), help }
            }
            None => {
                DefinitionFacts::Broken { message: error.message.clone(), help: error.help.clone() }
            }
        },
        // The archive that was named cannot be asked; what is wrong with it is found elsewhere.
        Err(_) => DefinitionFacts::Absent,
    }
}

fn in_one_line(problems: &Problems) -> String {
    let each = problems.problems.iter().map(|problem| {
        let (line, column) = problems.place(problem);
        format!("line {line}, column {column}: {}", problem.message)
    });
    format!("{problems}: {}", each.collect::<Vec<_>>().join("; "))
}

fn way(definition: Option<&Definition>) -> Way {
    let Some(definition) = definition else { return Way::Open(Default::default()) };
    let made: Result<_, NetError> = transports(definition, |source| {
        let transport = HttpTransport::to(source)?;
        Ok(Arc::new(transport) as Arc<dyn Transport>)
    });
    made.map_or_else(Way::Closed, Way::Open)
}

fn page(findings: &[DoctorFinding]) -> String {
    let mut page = String::new();
    for finding in findings {
        let (state, found) = (finding.state.word(), printable(&finding.found));
        page.push_str(&format!("{state:<4}  {}: {found}\n", printable(&finding.name)));
        if let Some(help) = &finding.help {
            page.push_str(&format!("      help: {}\n", printable(help)));
        }
    }
    page
}
