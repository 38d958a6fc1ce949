//! Whether records have ever had what a declared column takes its value from.

/// A declared column, and whether its place was found in any record so far: null counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenColumn {
    pub column: String,
    /// Its place in a record: `$.title.raw`.
    pub place: String,
    /// Whether a record had it.
    pub found: bool,
    /// Records that were looked through before it was found.
    pub records: u64,
    /// The member beside the place whose name is nearest; empty where none is near.
    pub nearest: String,
}

impl SeenColumn {
    /// Of a column that was never found: what is wrong, in one sentence.
    pub fn spoken(&self) -> String {
        let SeenColumn { column, place, nearest, .. } = self;
        let nearest = match nearest.as_str() {
            "" => String::new(),
            nearest => format!("; is it `{nearest}`?"),
        };
        format!("column `{column}`: `{place}` was in none of the records so far{nearest}")
    }
}
