//! A page's body to rows and rejects, each record counted once.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::definition::{ColumnType, OnConflict, Path, Scalar};
use crate::model::{
    Cell, PageFields, RecordRefusal, Reject, RejectKind, RowSet, Window, instant_to_text,
};

use super::body::Body;
use super::extract::{ExtractError, RecordStep};
use super::non_numbers::{non_number, unmark};
use super::reader::RecordReader;
use super::shapes::Shapes;
use crate::record::ancestors::{KeptRecord, ancestors};

/// What a page is judged by.
#[derive(Clone, Debug, Default)]
pub struct PageContext {
    /// The range that was asked for and the zone of its dates; tells out-of-window records.
    pub asked: Option<(Window, Tz)>,
    /// The column that holds the record's own time.
    pub field: Option<String>,
    /// The column that tells older from newer.
    pub version: Option<String>,
    /// The column whose largest value is the mark.
    pub cursor: Option<String>,
    /// Whether the first of two equal keys wins.
    pub on_conflict: Option<OnConflict>,
    /// The parent row's columns.
    pub parent: BTreeMap<String, Scalar>,
    /// Whether each row's record is kept as it came: for a row that turns out to be an orphan, or
    /// whose key came with other content before.
    pub keep_records: bool,
    /// Whether a key must not come twice with different content: nothing tells which is newer.
    pub one_content: bool,
}

/// The largest value of the cursor's column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageMark {
    /// Of an integer column.
    Integer(i64),
    /// Of a time column, as it is stored.
    Text(String),
}

/// The records of a page as rows and rejects.
#[derive(Clone, Debug, Default)]
pub struct PageRows {
    /// One row for each key.
    pub rows: RowSet,
    /// Records that cannot become rows.
    pub rejects: Vec<Reject>,
    /// All records of the page, before duplicates and rejects are taken out.
    pub received: u64,
    /// Records whose key came again in this page.
    pub duplicates: u64,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// The largest value of the cursor's column.
    pub mark: Option<PageMark>,
    /// The last record, as it came.
    pub last_record: Option<String>,
    /// A hash of all records as they came: tells a page that comes again.
    pub content_hash: u64,
    /// A hash of the record of each row, as it came.
    pub row_hashes: Vec<u64>,
    /// Where the records are in the body, bytes: from the first one's begin to the last one's end.
    pub span: Option<(usize, usize)>,
    /// Two records of one key that say different things, and nothing tells which is newer.
    pub clash: Option<KeyClash>,
    /// The record of each row, as it came, where they are kept.
    pub records: Vec<KeptRecord>,
    /// Rejects beyond what is kept of one page: such a page is no page.
    pub unkept: u64,
    /// The rows outgrow their body, as they do where each repeats a long text of an ancestor: the
    /// rest was not read, and such a page is no page.
    pub overgrown: bool,
    /// The fields of the records.
    pub fields: PageFields,
}

/// Two records of one key that say different things, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClash {
    /// The one that came first.
    pub first: String,
    /// The one that came later.
    pub later: String,
}

/// How many times their body the rows of a page may take up: rows that outgrow it repeat a long
/// text of an ancestor each, and such a page would fill the memory.
const GROWTH_MAX: usize = 8;
/// Bytes that the rows of a page may always take up: as many as the largest body by default, so
/// that small bodies may grow by any ratio.
const ROWS_BYTES_FREE: usize = 64 << 20;

/// The most rejects that are kept of one page: a body of ones and commas holds millions.
const REJECTS_PER_PAGE_MAX: usize = 100_000;

/// Reads the records of a body at `path` as rows; a body in which the path leads nowhere is an
/// error.
pub fn read_page<'b>(
    body: &Body<'b>,
    path: &Path,
    reader: &RecordReader,
    context: &PageContext,
) -> Result<PageRows, ExtractError> {
    let mut page = Builder::new(reader, context, path);
    page.room = body.size().saturating_mul(GROWTH_MAX).max(ROWS_BYTES_FREE);
    page.marked = body.has_non_numbers();
    let (mut first, mut last) = (None, None);
    body.records(path, &mut |steps| {
        last = steps.last().map(|step| step.raw);
        first = first.or(last);
        page.take(steps);
    })?;
    let mut page = page.finish();
    let place = |raw: Option<&str>| raw.and_then(|raw| body.place_of(raw));
    page.span = place(first).zip(place(last)).map(|((from, _), (_, to))| (from, to));
    page.last_record = last.map(str::to_owned);
    Ok(page)
}

struct Builder<'c, 'b> {
    reader: &'c RecordReader,
    context: &'c PageContext,
    path: &'c Path,
    page: PageRows,
    key_cells: Vec<usize>,
    version_cell: Option<usize>,
    field: Option<(usize, String, String)>,
    cursor_cell: Option<usize>,
    by_key: HashMap<u64, Vec<usize>>,
    /// The record of each row.
    raws: Vec<&'b str>,
    shapes: Shapes,
    /// Bytes that the rows may take up.
    room: usize,
    /// Whether the body holds values that are no JSON.
    marked: bool,
}

impl<'c, 'b> Builder<'c, 'b> {
    fn new(reader: &'c RecordReader, context: &'c PageContext, path: &'c Path) -> Self {
        let cell_of = |name: &Option<String>| name.as_ref().and_then(|name| reader.cell_of(name));
        let field = cell_of(&context.field).zip(context.asked).and_then(|(cell, (asked, zone))| {
            let kind = reader.columns()[cell - reader.offset()].kind;
            let (first, after) = field_bounds(kind, asked, zone)?;
            Some((cell, first, after))
        });
        Self {
            reader,
            context,
            path,
            page: PageRows { rows: RowSet::new(reader.width()), ..PageRows::default() },
            shapes: Shapes::default(),
            room: ROWS_BYTES_FREE,
            marked: false,
            key_cells: reader.key_cells(),
            version_cell: cell_of(&context.version),
            field,
            cursor_cell: cell_of(&context.cursor),
            by_key: HashMap::new(),
            raws: Vec::new(),
        }
    }

    fn take(&mut self, steps: &[RecordStep<'b>]) {
        let record = steps.last().expect("an extracted record has at least its root").raw;
        let hash = hash_text(record);
        self.page.content_hash = self.page.content_hash.rotate_left(5) ^ hash;
        let position = usize::try_from(self.page.received).unwrap_or(usize::MAX);
        self.page.received += 1;
        self.page.overgrown |= self.page.rows.text.len() + self.page.rows.bytes.len() > self.room;
        if self.page.overgrown {
            return;
        }
        if self.marked
            && let Some(word) = non_number(record)
        {
            let reason = format!("the value {word} is no JSON number");
            let kind = RejectKind::Unrepresentable;
            return self.reject(RecordRefusal { kind, reason, pointer: None }, steps, position);
        }
        let rows = &mut self.page.rows;
        match self.reader.read_noting(steps, &self.context.parent, rows, Some(&mut self.shapes)) {
            Ok(()) => {
                self.page.row_hashes.push(hash);
                self.raws.push(record);
                if self.context.keep_records {
                    self.page.records.push(self.keep(steps));
                }
                self.settle_row();
            }
            Err(refusal) => self.reject(refusal, steps, position),
        }
    }

    fn keep(&self, steps: &[RecordStep<'_>]) -> KeptRecord {
        let record = steps.last().map_or("", |step| step.raw).to_owned();
        KeptRecord { record, ancestors: ancestors(steps, self.path.text(), self.reader) }
    }

    fn reject(&mut self, refusal: RecordRefusal, steps: &[RecordStep<'_>], position: usize) {
        if self.page.rejects.len() >= REJECTS_PER_PAGE_MAX {
            self.page.unkept += 1;
            return;
        }
        let KeptRecord { mut record, ancestors } = self.keep(steps);
        if self.marked {
            record = unmark(&record);
        }
        self.page.rejects.push(refusal.reject(record, Some(ancestors), position));
    }

    /// Looks at the row that was just appended: an out-of-window record, a mark, a key that came
    /// before.
    fn settle_row(&mut self) {
        let row = self.page.rows.len() - 1;
        if let Some((cell, first, after)) = &self.field {
            let text = self.page.rows.text_of(self.page.rows.row(row)[*cell]);
            let inside = text.is_some_and(|text| first.as_str() <= text && text < after.as_str());
            self.page.out_of_window += u64::from(!inside);
        }
        if let Some(mark) = self.cursor_cell.and_then(|cell| self.mark_of(row, cell)) {
            self.page.mark = self.page.mark.take().max(Some(mark));
        }
        let hash = self.page.rows.key_hashes[row];
        let same_hash = self.by_key.entry(hash).or_default().clone();
        let earlier = same_hash.into_iter().find(|other| self.same_key(*other, row));
        match earlier {
            Some(earlier) => {
                self.notice_clash(earlier, row);
                self.dedupe(earlier, row);
            }
            None => self.by_key.entry(hash).or_default().push(row),
        }
    }

    fn mark_of(&self, row: usize, cell: usize) -> Option<PageMark> {
        match self.page.rows.row(row)[cell] {
            Cell::Integer(number) => Some(PageMark::Integer(number)),
            cell @ Cell::Text(..) => {
                self.page.rows.text_of(cell).map(|text| PageMark::Text(text.to_owned()))
            }
            _ => None,
        }
    }

    fn same_key(&self, a: usize, b: usize) -> bool {
        let rows = &self.page.rows;
        self.key_cells
            .iter()
            .all(|cell| compare(rows, rows.row(a)[*cell], rows.row(b)[*cell]).is_eq())
    }

    /// Notes two rows of one key that differ, where nothing tells which is newer.
    fn notice_clash(&mut self, earlier: usize, later: usize) {
        if !self.context.one_content || self.page.clash.is_some() {
            return;
        }
        let rows = &self.page.rows;
        let differ =
            |cell: &usize| compare(rows, rows.row(earlier)[*cell], rows.row(later)[*cell]).is_ne();
        let told_by = self.version_cell.iter().chain(&self.cursor_cell);
        let is_told = told_by.into_iter().any(differ);
        if !is_told && (0..rows.width).any(|cell| differ(&cell)) {
            let (first, later) = (self.raws[earlier].to_owned(), self.raws[later].to_owned());
            self.page.clash = Some(KeyClash { first, later });
        }
    }

    /// Of two rows of one key one stays: the newer version, else the later, or the first where
    /// the first fetch wins.
    fn dedupe(&mut self, earlier: usize, later: usize) {
        self.page.duplicates += 1;
        let rows = &self.page.rows;
        let older = self.version_cell.is_some_and(|cell| {
            compare(rows, rows.row(later)[cell], rows.row(earlier)[cell]).is_lt()
        });
        let first_wins = self.context.on_conflict == Some(OnConflict::Keep);
        if !older && !first_wins {
            let width = self.page.rows.width;
            let from = later * width;
            self.page.rows.cells.copy_within(from..from + width, earlier * width);
            if self.context.keep_records {
                self.page.records.swap(earlier, later);
            }
        }
        if !older && !first_wins {
            self.page.row_hashes.swap(earlier, later);
            self.raws.swap(earlier, later);
        }
        self.page.row_hashes.truncate(later);
        self.raws.truncate(later);
        self.page.records.truncate(later);
        let rows = &mut self.page.rows;
        rows.cells.truncate(later * rows.width);
        rows.key_hashes.truncate(later);
    }

    fn finish(mut self) -> PageRows {
        self.page.fields = self.shapes.finish();
        self.page
    }
}

/// A hash of a record's text, to tell records apart with.
pub fn hash_text(text: &str) -> u64 {
    foldhash::quality::FixedState::default().hash_one(text)
}

/// Orders two cells of one column: null first, numbers by value, text by bytes.
fn compare(rows: &RowSet, a: Cell, b: Cell) -> std::cmp::Ordering {
    #[expect(clippy::cast_precision_loss, reason = "only mixed integers and doubles get here")]
    let number = |cell| match cell {
        Cell::Integer(value) => Some(value as f64),
        Cell::Real(value) => Some(value),
        _ => None,
    };
    match (a, b) {
        (Cell::Integer(a), Cell::Integer(b)) => a.cmp(&b),
        (Cell::Text(..), Cell::Text(..)) => rows.text_of(a).cmp(&rows.text_of(b)),
        (Cell::Blob(..), Cell::Blob(..)) => rows.bytes_of(a).cmp(&rows.bytes_of(b)),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

fn rank(cell: Cell) -> u8 {
    match cell {
        Cell::Null => 0,
        Cell::Integer(_) | Cell::Real(_) => 1,
        Cell::Text(..) => 2,
        Cell::Blob(..) => 3,
    }
}

/// The first text inside the asked range and the first one after it, as the column stores it.
fn field_bounds(kind: ColumnType, asked: Window, zone: Tz) -> Option<(String, String)> {
    match kind {
        ColumnType::Timestamp => {
            Some((instant_to_text(asked.start()), instant_to_text(asked.end())))
        }
        ColumnType::Date => {
            let first = asked.start().with_timezone(&zone).date_naive();
            let last = asked.end() - TimeDelta::milliseconds(1);
            let after = last.with_timezone(&zone).date_naive().succ_opt()?;
            Some((first.to_string(), after.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Column, ColumnOrigin, Key, Segment};

    fn column(name: &str, kind: ColumnType) -> Column {
        Column::plain(name, kind)
    }

    fn usage_columns() -> Vec<Column> {
        let mut start = column("cycle_start", ColumnType::Date);
        let path = ["cycle", "start"].map(|name| Segment::Name(name.to_owned()));
        start.origin = ColumnOrigin::Record(path.to_vec());
        vec![
            column("id", ColumnType::Text),
            column("gb", ColumnType::Real),
            column("at", ColumnType::Timestamp),
            start,
        ]
    }

    fn read(body: &str, columns: Vec<Column>, key: Key, context: &PageContext) -> PageRows {
        let reader = RecordReader::new(columns, key);
        let path = Path::parse("$[*]").expect("a path");
        read_page(&Body::Json(body), &path, &reader, context).expect("a page")
    }

    fn shown(page: &PageRows) -> Vec<String> {
        let rows = &page.rows;
        let show = |cell: &Cell| match rows.text_of(*cell) {
            Some(text) => text.to_owned(),
            None => format!("{cell:?}"),
        };
        let line = |at| rows.row(at).iter().map(show).collect::<Vec<_>>().join(" | ");
        (0..rows.len()).map(line).collect()
    }

    fn id() -> Key {
        Key::Columns(vec!["id".to_owned()])
    }

    #[test]
    fn a_record_becomes_its_columns_and_the_rest_is_kept() {
        let body = r#"[{"id":"a","z":"\u00e9","gb":0.12345678901234567890,
            "cycle":{"start":"2026-01-01","end":"2026-01-31"},"n":[1.10, {"b":1,"a":2}]}]"#;
        let page = read(body, usage_columns(), id(), &PageContext::default());
        let rest = r#"{"cycle":{"end":"2026-01-31"},"gb":0.12345678901234567890,"#.to_owned()
            + "\"n\":[1.10,{\"a\":2,\"b\":1}],\"z\":\"\u{e9}\"}";
        assert_eq!(
            shown(&page),
            [format!("a | Real(0.12345678901234568) | Null | 2026-01-01 | {rest}")]
        );
    }

    #[test]
    fn a_bad_record_is_rejected_verbatim_and_the_rest_of_the_page_goes_on() {
        let body = r#"[{"id":"a"},7,{"gb":1},{"id":null},{"id":"b","gb":"x"},
            {"id":"c","id":"d"},{"id":"e","note":"\ud800"},{"id":"f","x":{"k":1,"k":1}},
            {"id":"g"}]"#;
        let page = read(body, usage_columns(), id(), &PageContext::default());
        let kinds: Vec<_> =
            page.rejects.iter().map(|reject| (reject.position, reject.kind.as_str())).collect();
        assert_eq!(
            kinds,
            [
                (1, "not_an_object"),
                (2, "no_key"),
                (3, "no_key"),
                (4, "type"),
                (5, "duplicate_member"),
                (6, "unrepresentable"),
                (7, "duplicate_member")
            ]
        );
        assert_eq!(page.rejects[4].record, r#"{"id":"c","id":"d"}"#);
        assert_eq!(shown(&page).len(), 2);
        assert_eq!(page.received, 9);
    }

    #[test]
    fn of_two_rows_of_one_key_the_newer_version_or_the_later_one_stays() {
        let body = r#"[{"id":"a","gb":1,"at":"2026-01-02T00:00:00Z"},
            {"id":"a","gb":2,"at":"2026-01-01T00:00:00Z"}, {"id":"b","gb":3}, {"id":"b","gb":4}]"#;
        let with = |version: Option<&str>, keep: bool| {
            let context = PageContext {
                version: version.map(str::to_owned),
                on_conflict: keep.then_some(OnConflict::Keep),
                ..PageContext::default()
            };
            let page = read(body, usage_columns(), id(), &context);
            assert_eq!(page.duplicates, 2);
            (0..page.rows.len()).map(|at| page.rows.row(at)[1]).collect::<Vec<_>>()
        };
        assert_eq!(with(Some("at"), false), [Cell::Real(1.0), Cell::Real(4.0)]);
        assert_eq!(with(None, false), [Cell::Real(2.0), Cell::Real(4.0)]);
        assert_eq!(with(None, true), [Cell::Real(1.0), Cell::Real(3.0)]);
    }

    #[test]
    fn out_of_window_records_and_marks_are_told_by_their_columns() {
        let at = |text| crate::model::instant_from_text(text).expect("an instant");
        let asked = Window::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let context = PageContext {
            asked: asked.map(|asked| (asked, Tz::UTC)),
            field: Some("at".to_owned()),
            cursor: Some("at".to_owned()),
            ..PageContext::default()
        };
        let body = r#"[{"id":"a","at":"2026-01-01T00:00:00Z"},
            {"id":"b","at":"2026-01-02T00:00:00Z"},
            {"id":"c","at":"2025-12-31T23:59:59.999Z"},
            {"id":"d","at":"2026-01-01T23:59:59.999Z"}]"#;
        let page = read(body, usage_columns(), id(), &context);
        assert_eq!(page.out_of_window, 2);
        assert_eq!(page.mark, Some(PageMark::Text("2026-01-02T00:00:00+00:00".to_owned())));
        assert_eq!(page.rows.len(), 4, "out_of_window are kept");
    }

    #[test]
    fn a_value_may_come_from_a_member_name_an_ancestor_or_the_parent_row() {
        let line = Column {
            origin: ColumnOrigin::Member { depth: 1 },
            ..column("line", ColumnType::Text)
        };
        let plan = Column {
            origin: ColumnOrigin::Ancestor {
                depth: 1,
                path: vec![Segment::Name("plan".to_owned())],
            },
            ..column("plan", ColumnType::Integer)
        };
        let client = Column {
            origin: ColumnOrigin::Parent("client".to_owned()),
            ..column("client", ColumnType::Text)
        };
        let columns = vec![line, column("day", ColumnType::Date), plan, client];
        let key = Key::Columns(vec!["line".to_owned(), "day".to_owned()]);
        let reader = RecordReader::new(columns, key);
        let path = Path::parse("$.*.days[*]").expect("a path");
        let parent = BTreeMap::from([("client".to_owned(), Scalar::Text("C\"1".to_owned()))]);
        let context = PageContext { parent, ..PageContext::default() };
        let body = r#"{"SL-1":{"plan":1000,"days":[{"day":"2026-01-01"},{"day":"2026-01-02"}]},
            "SL-2":{"plan":5,"days":[{"day":"2026-01-01"}]}}"#;
        let page = read_page(&Body::Json(body), &path, &reader, &context).expect("a page");
        assert_eq!(
            shown(&page),
            [
                "SL-1 | 2026-01-01 | Integer(1000) | C\"1 | Null",
                "SL-1 | 2026-01-02 | Integer(1000) | C\"1 | Null",
                "SL-2 | 2026-01-01 | Integer(5) | C\"1 | Null",
            ]
        );
    }

    #[test]
    fn an_ancestor_is_read_once_and_not_for_each_of_its_records() {
        // Read for each record it would be 50,000 times a megabyte.
        let plan = Column {
            origin: ColumnOrigin::Ancestor {
                depth: 0,
                path: vec![Segment::Name("plan".to_owned())],
            },
            ..column("plan", ColumnType::Integer)
        };
        let columns = vec![column("id", ColumnType::Integer), plan];
        let reader = RecordReader::new(columns, Key::Columns(vec!["id".to_owned()]));
        let path = Path::parse("$.data[*]").expect("a path");
        let records: Vec<String> = (0..50_000).map(|n| format!("{{\"id\":{n}}}")).collect();
        let body = format!("{{\"plan\":7,\"data\":[{}]}}", records.join(","));
        let page =
            read_page(&Body::Json(&body), &path, &reader, &PageContext::default()).expect("a page");
        assert_eq!(page.rows.len(), 50_000);
        assert_eq!(shown(&page)[49_999], "Integer(49999) | Integer(7) | Null");
    }

    #[test]
    fn a_long_text_of_an_ancestor_does_not_fill_the_memory() {
        let plan = Column {
            origin: ColumnOrigin::Ancestor {
                depth: 0,
                path: vec![Segment::Name("plan".to_owned())],
            },
            ..column("plan", ColumnType::Text)
        };
        let columns = vec![column("id", ColumnType::Integer), plan];
        let reader = RecordReader::new(columns, Key::Columns(vec!["id".to_owned()]));
        let path = Path::parse("$.data[*]").expect("a path");
        let records: Vec<String> = (0..1_000).map(|n| format!("{{\"id\":{n}}}")).collect();
        let long = "x".repeat(1 << 20);
        let body = format!("{{\"plan\":\"{long}\",\"data\":[{}]}}", records.join(","));
        let page =
            read_page(&Body::Json(&body), &path, &reader, &PageContext::default()).expect("a page");
        assert!(page.overgrown && page.rows.len() < 100, "{} rows", page.rows.len());
    }

    #[test]
    fn a_hash_key_does_not_depend_on_the_order_of_members() {
        let key = Key::Hash(vec!["x".to_owned(), "y".to_owned()]);
        let columns = vec![column("x", ColumnType::Number)];
        let body = r#"[{"x":1,"y":"b"},{"y":"b","x":1},{"x":1.0,"y":"b"},{"z":1}]"#;
        let page = read(body, columns, key, &PageContext::default());
        assert_eq!((page.rows.len(), page.duplicates, page.rejects.len()), (2, 1, 1));
        assert_eq!(page.rows.text_of(page.rows.row(0)[0]).map(str::len), Some(64));
    }
}
