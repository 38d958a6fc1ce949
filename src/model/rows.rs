//! Rows on their way into a table.

/// A value of a row. Text lies in the set's arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// A piece of the arena: first byte and the one after the last.
    Text(u32, u32),
    /// A piece of the blob arena.
    Blob(u32, u32),
}

/// The rows of one page: `width` cells each, in the order of the table's columns, then `_rest`.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    /// Cells of a row.
    pub width: usize,
    /// All cells, row after row.
    pub cells: Vec<Cell>,
    /// The arena of the cells' text: [`Cell::Text`] has places in it.
    pub text: String,
    /// The arena of the cells' bytes: [`Cell::Blob`] has places in it.
    pub bytes: Vec<u8>,
    /// A hash of each row's key, to count distinct keys with.
    pub key_hashes: Vec<u64>,
}

/// What became of the left-over members of a row: values for columns that are new to it.
#[derive(Clone, Debug)]
pub struct Filled {
    /// One row: the columns' values, then what is still left over. A value that does not fit stays
    /// there, and its column is null.
    pub row: RowSet,
    /// Whether all values fit.
    pub fits: bool,
}

impl RowSet {
    /// An empty set of rows that are `width` cells wide.
    pub fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells of row `at`.
    pub fn row(&self, at: usize) -> &[Cell] {
        &self.cells[at * self.width..(at + 1) * self.width]
    }

    /// The text of a cell that is text.
    pub fn text_of(&self, cell: Cell) -> Option<&str> {
        match cell {
            Cell::Text(from, to) => self.text.get(from as usize..to as usize),
            _ => None,
        }
    }

    /// The bytes of a cell that is a blob.
    pub fn bytes_of(&self, cell: Cell) -> Option<&[u8]> {
        match cell {
            Cell::Blob(from, to) => self.bytes.get(from as usize..to as usize),
            _ => None,
        }
    }

    /// Puts text into the arena.
    pub fn push_text(&mut self, text: &str) -> Cell {
        let from = arena_place(self.text.len());
        self.text.push_str(text);
        Cell::Text(from, arena_place(self.text.len()))
    }

    /// Puts bytes into the arena.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Cell {
        let from = arena_place(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Cell::Blob(from, arena_place(self.bytes.len()))
    }

    /// Appends a row of another set that is as wide.
    pub fn push_row(&mut self, from: &RowSet, at: usize) {
        for cell in from.row(at) {
            self.push_cell(from, *cell);
        }
    }

    /// Appends a cell of another set.
    pub fn push_cell(&mut self, from: &RowSet, cell: Cell) {
        let cell = match cell {
            text @ Cell::Text(..) => self.push_text(from.text_of(text).unwrap_or_default()),
            blob @ Cell::Blob(..) => self.push_bytes(from.bytes_of(blob).unwrap_or_default()),
            plain => plain,
        };
        self.cells.push(cell);
    }

    /// Takes rows out; `taken` holds their numbers.
    pub fn take_out(&mut self, taken: &dyn Fn(usize) -> bool) {
        let width = self.width.max(1);
        let mut at = 0;
        self.cells.retain(|_| {
            let row = at / width;
            at += 1;
            !taken(row)
        });
        let mut row = 0;
        self.key_hashes.retain(|_| {
            row += 1;
            !taken(row - 1)
        });
    }

    /// About how many bytes the rows take up.
    pub fn size(&self) -> usize {
        self.text.len() + self.bytes.len() + self.cells.len() * size_of::<Cell>()
    }
}

fn arena_place(length: usize) -> u32 {
    u32::try_from(length).expect("a page is smaller than 4 GiB: bodies have a limit")
}
