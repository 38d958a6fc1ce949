//! Plain tables. What an API said is escaped before it gets here.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table without frames: a header, a rule, rows; numbers to the right.
pub fn plain_table(header: &[String], rows: &[Vec<String>], numeric: &[bool]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    let rule: Vec<String> = (0..header.len())
        .map(|at| {
            let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max();
            "─".repeat(widest.unwrap_or(0).max(width(&header[at])))
        })
        .collect();
    table.add_row(rule);
    for row in rows {
        table.add_row(row.clone());
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at + 1 == header.len() { 0 } else { 2 }));
        if numeric.get(at).copied().unwrap_or(false) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A Markdown table.
pub fn markdown(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> = header.iter().map(|_| "---".to_owned()).collect();
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{}{body}", line(header), line(&rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_space() {
        let header = ["name".to_owned(), "n".to_owned()];
        let rows =
            [vec!["a".to_owned(), "1".to_owned()], vec!["bcdef".to_owned(), "22".to_owned()]];
        let text = plain_table(&header, &rows, &[false, true]);
        assert_eq!(text, "name    n\n─────  ──\na       1\nbcdef  22\n");
        assert_eq!(
            markdown(&header, &[vec!["a|b".into(), "1".into()]]),
            "| name | n |\n| --- | --- |\n| a\\|b | 1 |\n"
        );
    }
}
