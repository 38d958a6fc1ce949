//! Rows as Parquet: typed, in row groups of a bounded size, packed with zstd.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::definition::{ColumnType, TypeFamily};
use crate::history::Stored;

use super::column::{ExactType, ExportColumn, boolean, date, micros, number, real_text, shown};
use super::decimal::DIGITS_OF_LONG;
use super::error::RowFault;
use super::text::RowWriter;

/// Rows of a row group at most: what DuckDB writes, and enough for each of its threads.
const GROUP_ROWS_MAX: usize = 122_880;
/// Bytes of values that are gathered before they are written, so that wide rows do not fill the
/// memory.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Of zstd: smaller than its fastest by a tenth, and still quicker than the fetch of rows.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of a decimal of 38 digits, which needs 127 bits.
const WIDE_DECIMAL_BYTES: i32 = 16;

/// A file in the making.
pub struct ParquetRows<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<GatheredColumn>,
    rows: usize,
    bytes: usize,
    written: u64,
}

/// What a file says of itself and how its rows are sorted.
pub struct About<'a> {
    /// The stream, as the name of the schema.
    pub stream: &'a str,
    /// Names and texts for the file's metadata.
    pub facts: &'a [(String, String)],
    /// Places of the columns that the rows are sorted by.
    pub sorted_by: &'a [usize],
}

/// The values of one column that wait for their row group.
struct GatheredColumn {
    kind: ColumnType,
    exact: ExactType,
    /// 1 where there is a value; none for columns that have one in every row.
    levels: Option<Vec<i16>>,
    values: Values,
}

enum Values {
    Booleans(Vec<bool>),
    Days(Vec<i32>),
    Longs(Vec<i64>),
    Doubles(Vec<f64>),
    /// All bytes in one piece, and where each value ends.
    Bytes(Vec<u8>, Vec<usize>),
    /// All decimals in one piece of [`WIDE_DECIMAL_BYTES`] each.
    Decimals(Vec<u8>),
}

impl<W: Write + Send> ParquetRows<W> {
    /// Begins a file: writes the header, and the facts of `about` as metadata.
    pub fn new(
        out: W,
        columns: &[ExportColumn],
        types: &[ExactType],
        about: &About<'_>,
    ) -> std::io::Result<Self> {
        let fields = columns.iter().zip(types).map(|(column, exact)| field(column, *exact));
        let fields = fields.collect::<Result<_, _>>().map_err(io)?;
        let schema = Type::group_type_builder(about.stream).with_fields(fields).build();
        let facts = about.facts.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
        let sorted = about.sorted_by.iter().filter_map(|at| {
            let column_idx = i32::try_from(*at).ok()?;
            Some(SortingColumn { column_idx, descending: false, nulls_first: false })
        });
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(io)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(concat!("windrow version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(facts))
            .set_sorting_columns(Some(sorted.collect()))
            .build();
        let schema = Arc::new(schema.map_err(io)?);
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(io)?;
        let columns = columns.iter().zip(types);
        let columns = columns.map(|(column, exact)| GatheredColumn::new(column, *exact)).collect();
        Ok(Self { file, columns, rows: 0, bytes: 0, written: 0 })
    }

    fn write_group(&mut self) -> std::io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(io)?;
        for column in &mut self.columns {
            let mut writer = group
                .next_column()
                .map_err(io)?
                .ok_or_else(|| std::io::Error::other("a column of the file is missing"))?;
            column.write(&mut writer).and_then(|()| writer.close()).map_err(io)?;
        }
        group.close().map_err(io)?;
        self.written += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl<W: Write + Send> RowWriter for ParquetRows<W> {
    fn row(&mut self, row: &[Stored<'_>]) -> Result<(), RowFault> {
        for (at, (column, value)) in self.columns.iter_mut().zip(row).enumerate() {
            let taken = column.take(*value);
            self.bytes += taken.map_err(|what| RowFault::Value { column: at, what })?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.write_group()?;
        let rows = KeyValue::new("windrow.rows".to_owned(), self.written.to_string());
        self.file.append_key_value_metadata(rows);
        self.file.finish().map(drop).map_err(io)
    }
}

/// A column of the schema.
fn field(column: &ExportColumn, exact: ExactType) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match exact {
        ExactType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ExactType::Bytes => (Physical::BYTE_ARRAY, None),
        ExactType::Integer => (Physical::INT64, None),
        ExactType::Real => (Physical::DOUBLE, None),
        ExactType::Boolean => (Physical::BOOLEAN, None),
        ExactType::Date => (Physical::INT32, Some(LogicalType::Date)),
        ExactType::Timestamp => {
            (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
        }
        ExactType::Decimal { precision, scale } => {
            let long = i64::from(precision) <= DIGITS_OF_LONG;
            let physical = if long { Physical::INT64 } else { Physical::FIXED_LEN_BYTE_ARRAY };
            (physical, Some(LogicalType::decimal(scale, precision)))
        }
    };
    let repetition = if column.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let mut builder = Type::primitive_type_builder(&column.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    if let ExactType::Decimal { precision, scale } = exact {
        builder = builder.with_precision(precision).with_scale(scale);
        if physical == Physical::FIXED_LEN_BYTE_ARRAY {
            builder = builder.with_length(WIDE_DECIMAL_BYTES);
        }
    }
    builder.build().map(Arc::new)
}

impl GatheredColumn {
    fn new(column: &ExportColumn, exact: ExactType) -> GatheredColumn {
        let values = match exact {
            ExactType::Boolean => Values::Booleans(Vec::new()),
            ExactType::Date => Values::Days(Vec::new()),
            ExactType::Real => Values::Doubles(Vec::new()),
            ExactType::Integer | ExactType::Timestamp => Values::Longs(Vec::new()),
            ExactType::Text | ExactType::Bytes => Values::Bytes(Vec::new(), Vec::new()),
            ExactType::Decimal { precision, .. } if i64::from(precision) <= DIGITS_OF_LONG => {
                Values::Longs(Vec::new())
            }
            ExactType::Decimal { .. } => Values::Decimals(Vec::new()),
        };
        let levels = (!column.required).then(Vec::new);
        GatheredColumn { kind: column.kind, exact, levels, values }
    }

    /// Takes a value and gives its size in memory, or says why it is not one of the column.
    fn take(&mut self, value: Stored<'_>) -> Result<usize, String> {
        if value == Stored::Null {
            let levels = self.levels.as_mut().ok_or("NULL, in a column of the key")?;
            levels.push(0);
            return Ok(2);
        }
        if let Some(levels) = &mut self.levels {
            levels.push(1);
        }
        let wrong = || format!("{}, which is no {}", shown(value), self.exact.spoken());
        Ok(2 + match &mut self.values {
            Values::Booleans(all) => put(all, boolean(value).ok_or_else(wrong)?),
            Values::Days(all) => put(all, date(value).ok_or_else(wrong)?),
            Values::Doubles(all) => put(all, double(value).ok_or_else(wrong)?),
            Values::Longs(all) => put(all, long(value, self.exact).ok_or_else(wrong)?),
            Values::Bytes(all, ends) => {
                push_bytes(value, self.kind, all).ok_or_else(wrong)?;
                ends.push(all.len());
                all.len() - ends.iter().rev().nth(1).copied().unwrap_or(0) + size_of::<usize>()
            }
            Values::Decimals(all) => {
                let unscaled = decimal(value, self.exact).ok_or_else(wrong)?;
                all.extend(unscaled.to_be_bytes());
                size_of::<i128>()
            }
        })
    }

    /// Writes what has been gathered, and forgets it.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.levels.as_mut().map(std::mem::take);
        let levels = levels.as_deref();
        match &mut self.values {
            Values::Booleans(all) => write::<BoolType>(writer, std::mem::take(all), levels),
            Values::Days(all) => write::<Int32Type>(writer, std::mem::take(all), levels),
            Values::Longs(all) => write::<Int64Type>(writer, std::mem::take(all), levels),
            Values::Doubles(all) => write::<DoubleType>(writer, std::mem::take(all), levels),
            Values::Bytes(all, ends) => {
                let all = ByteArray::from(std::mem::take(all));
                let mut from = 0;
                let piece = |end| all.slice(from, end - std::mem::replace(&mut from, end));
                let pieces = std::mem::take(ends).into_iter().map(piece).collect();
                write::<ByteArrayType>(writer, pieces, levels)
            }
            Values::Decimals(all) => {
                let all = ByteArray::from(std::mem::take(all));
                let starts = (0..all.len()).step_by(size_of::<i128>());
                let piece = |from| FixedLenByteArray::from(all.slice(from, size_of::<i128>()));
                write::<FixedLenByteArrayType>(writer, starts.map(piece).collect(), levels)
            }
        }
    }
}

fn put<T>(all: &mut Vec<T>, value: T) -> usize {
    all.push(value);
    size_of::<T>()
}

fn write<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: Vec<T::T>,
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    writer.typed::<T>().write_batch(&values, levels, None).map(drop)
}

fn double(value: Stored<'_>) -> Option<f64> {
    match value {
        Stored::Real(number) => Some(number),
        #[expect(clippy::cast_precision_loss, reason = "the survey lets only exact ones through")]
        Stored::Integer(number) => Some(number as f64),
        _ => None,
    }
}

fn long(value: Stored<'_>, exact: ExactType) -> Option<i64> {
    match (exact, value) {
        (ExactType::Integer, Stored::Integer(number)) => Some(number),
        (ExactType::Timestamp, value) => micros(value),
        (ExactType::Decimal { .. }, value) => decimal(value, exact)?.try_into().ok(),
        _ => None,
    }
}

fn decimal(value: Stored<'_>, exact: ExactType) -> Option<i128> {
    let ExactType::Decimal { scale, .. } = exact else { return None };
    number(value)?.unscaled(i64::from(scale))
}

/// Text or bytes. Numbers are written as text only where the survey found no number for all.
fn push_bytes(value: Stored<'_>, kind: ColumnType, all: &mut Vec<u8>) -> Option<()> {
    let (numeric, bytes) = (kind.may_store_digits(), kind.family() == TypeFamily::Bytes);
    match value {
        Stored::Text(text) if !bytes => all.extend(text.as_bytes()),
        Stored::Blob(blob) if bytes => all.extend(blob),
        Stored::Integer(number) if numeric => all.extend(number.to_string().as_bytes()),
        Stored::Real(number) if numeric => all.extend(real_text(number).as_bytes()),
        _ => return None,
    }
    Some(())
}

/// The operating system's own error, where there is one inside.
fn io(error: ParquetError) -> std::io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    }
}
