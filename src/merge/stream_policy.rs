//! Conflicts between two versions of a row of one stream, resolved by values alone.

use std::cmp::Ordering;

use crate::definition::{Column, Key};
use crate::merge::definitions::DefinitionHistory;
use crate::merge::policy::Rules;
use crate::merge::tables::Filling;
use crate::merge::values::{ReadBy, RowClaim, RowVersion, VersionEnd};
use crate::model::TableColumn;
use crate::record::{Filler, RecordReader};

/// How one stream's rows are decided on and filled.
pub struct MergePolicy<'s> {
    rules: Rules,
    told: &'s DefinitionHistory,
    stream: &'s str,
}

impl<'s> MergePolicy<'s> {
    /// That of a stream; `told` says what its columns are.
    pub(crate) fn new(rules: Rules, told: &'s DefinitionHistory, stream: &'s str) -> Self {
        Self { rules, told, stream }
    }

    /// Which content stands: the greater.
    pub fn order(&self, ours: &RowClaim, theirs: &RowClaim) -> Ordering {
        self.rules.order(ours, theirs)
    }

    /// Which fetch speaks for a content that both have: the greater.
    pub fn order_fetches(&self, ours: &ReadBy, theirs: &ReadBy) -> Ordering {
        self.rules.order_fetches(ours, theirs)
    }

    /// Until when each version of a row stood.
    pub fn recut(&self, versions: &[RowVersion]) -> Vec<Option<VersionEnd>> {
        self.rules.recut(versions)
    }

    /// The instant of a row by the column that holds its time, as the ledger writes it.
    pub fn instant_of(&self, text: &str) -> Option<String> {
        // Where the first fetch stays, a later one has nothing to say.
        if self.rules.keep_first { None } else { self.rules.instant_of(text) }
    }

    /// How rows take the values of columns that they lack from what was left over of them; none
    /// where there is no such column.
    pub fn filling(&self, lacking: &[TableColumn]) -> Option<Filling<'_>> {
        let columns: Vec<Column> =
            lacking.iter().map(|column| self.told.column(self.stream, column)).collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let reader = RecordReader::new(columns, Key::Columns(Vec::new()));
        let filler = Filler::new(&reader, &names)?;
        let columns = filler.columns().to_vec();
        Some(Filling { columns, fill: Box::new(move |rest| filler.fill(rest)) })
    }
}
