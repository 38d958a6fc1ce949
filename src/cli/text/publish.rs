//! What was published, for people.

use crate::publish::Published;

use crate::model::{count, inflect, many};

/// A line for each stream, and notes where there is something to know.
pub fn published_page(published: &Published) -> String {
    let mut out = String::new();
    let mut beside = 0;
    for stream in &published.streams {
        let mut line = format!("{}: ", stream.stream);
        let table = match (published.dry_run, stream.created) {
            (true, true) => "its table would be made; ",
            (false, true) => "its table was made; ",
            _ => "",
        };
        line.push_str(table);
        if !stream.added.is_empty() {
            let verb = if published.dry_run { "would be" } else { "were" };
            line.push_str(&format!("columns {verb} added: {}; ", stream.added.join(", ")));
        }
        if stream.restored {
            line.push_str("all rows again, because this archive is an older copy; ");
        }
        let sent = many(stream.sent, "row");
        line.push_str(&match published.dry_run {
            true => format!("{sent} would be sent"),
            false => format!("{sent} sent, {} of them written", count(stream.written)),
        });
        if stream.gone > 0 {
            line.push_str(&format!(", {} of them marked as gone", count(stream.gone)));
        }
        beside += stream.beside;
        out.push_str(&format!("{line}\n"));
    }
    if published.streams.is_empty() {
        out.push_str("the archive has no stream\n");
    }
    if beside > 0 {
        out.push_str(&format!(
            "{} {} not fit PostgreSQL's types: near ones are in the columns, the exact ones \
             in `_rest` under `_exact`\n",
            many(beside, "value"),
            inflect(beside, "does", "do")
        ));
    }
    out
}
