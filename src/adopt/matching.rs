//! Which field of the file becomes which column of the stream.

use chrono_tz::Tz;

use crate::definition::{
    Column, ColumnOrigin, ColumnType, Key, Segment, Stream, StreamKind, TimeFormat, nearest,
};
use crate::model::Error;
use crate::record::FileFields;
use crate::store::Value;

use super::file::AdoptedFile;
use super::value::json_of;

/// What a person said of the file's fields.
#[derive(Clone, Debug, Default)]
pub struct FieldRules {
    /// Column and the field that it is called in the file.
    pub map: Vec<(String, String)>,
    /// Column and how the file writes its dates or timestamps.
    pub formats: Vec<(String, TimeFormat)>,
    /// The zone of the file's times without an offset.
    pub zone: Option<Tz>,
}

/// The stream's columns as the file has them.
#[derive(Clone, Debug)]
pub struct ColumnMatching {
    /// The stream's columns; each takes its value from a field of the file.
    pub columns: Vec<Column>,
    /// Columns that the file does not have.
    pub absent: Vec<String>,
    /// Fields that the stream does not have; they stay in the file.
    pub left_out: Vec<String>,
    /// The fields, and of those that are taken the type that they become.
    fields: Vec<(String, Option<FieldClaim>)>,
    typed: bool,
    /// What is kept beside a record that does not become a row.
    pub beside: String,
}

/// A field that is taken; a field of a hash key need not be a column.
#[derive(Clone, Copy, Debug)]
struct FieldClaim(Option<ColumnType>);

impl ColumnMatching {
    /// Matches the stream's columns with the file's fields; what the stream cannot do without must
    /// be there.
    pub fn new(
        file: &AdoptedFile,
        stream: &Stream,
        columns: &[Column],
        rules: &FieldRules,
    ) -> Result<Self, Error> {
        check_names(columns, rules)?;
        let tabular = !matches!(file, AdoptedFile::Ndjson { .. });
        let mut absent = Vec::new();
        let mut taken: Vec<(String, Option<ColumnType>)> = Vec::new();
        let mut of_file = FileFields {
            formats: rules.formats.iter().cloned().collect(),
            zone: rules.zone,
            ..FileFields::default()
        };
        for column in columns {
            match field_of(file, column, rules)? {
                Some(field) => {
                    of_file.columns.insert(column.name.clone(), field.clone());
                    taken.push((field, Some(column.kind)));
                }
                // A record of the API may hold it deeper than its first members show.
                None if !tabular && matches!(column.origin, ColumnOrigin::Record(_)) => {}
                None => absent.push(column.name.clone()),
            }
        }
        if let Key::Hash(fields) = &stream.key {
            taken.extend(fields.iter().map(|field| (field.clone(), None)));
        }
        for (name, role) in needed(stream) {
            let is_column = columns.iter().any(|column| column.name == name);
            let there = file.fields().iter().any(|field| field == name);
            if is_column && absent.iter().any(|column| column == name) || !is_column && !there {
                return Err(lacks(file, name, role));
            }
        }
        let claim = |field: &String| {
            taken.iter().find(|(name, _)| name == field).map(|(_, kind)| FieldClaim(*kind))
        };
        let fields: Vec<(String, Option<FieldClaim>)> =
            file.fields().iter().map(|field| (field.clone(), claim(field))).collect();
        let left_out = fields.iter().filter(|(_, claim)| tabular && claim.is_none());
        let left_out = left_out.map(|(field, _)| field.clone()).collect();
        let typed = matches!(file, AdoptedFile::Table(..));
        of_file.taken = tabular.then(|| {
            let read = fields.iter().filter(|(_, claim)| claim.is_some());
            read.map(|(field, _)| field.clone()).collect()
        });
        let columns = of_file.columns_of(columns);
        Ok(Self { columns, absent, left_out, fields, typed, beside: of_file.beside() })
    }

    /// The place of a field that is no column.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(field, _)| field == name)
    }

    /// The record of these values: whole, and only what is taken of it.
    pub fn records_of(&self, values: &[Value]) -> (String, String) {
        let (mut whole, mut taken) = (String::from("{"), String::from("{"));
        for ((field, claim), value) in self.fields.iter().zip(values) {
            let kind = claim.and_then(|FieldClaim(kind)| kind);
            let name = serde_json::to_string(field).expect("a name can be written as JSON");
            let member = format!("{name}:{}", json_of(value, kind, self.typed));
            add(&mut whole, &member);
            if claim.is_some() {
                add(&mut taken, &member);
            }
        }
        whole.push('}');
        taken.push('}');
        (whole, taken)
    }
}

fn add(object: &mut String, member: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(member);
}

fn check_names(columns: &[Column], rules: &FieldRules) -> Result<(), Error> {
    let formats = rules.formats.iter().map(|(column, _)| column);
    for name in rules.map.iter().map(|(column, _)| column).chain(formats) {
        if !columns.iter().any(|column| column.name == *name) {
            let error = Error::usage(format!("the stream has no column `{name}`"));
            let known = columns.iter().map(|column| column.name.as_str());
            let near = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
            return Err(near.into_iter().fold(error, Error::help));
        }
    }
    Ok(())
}

/// The field that a column is called in the file: as somebody said, by the column's name, by the
/// name that the API has for it, or by its name whatever the case of letters.
fn field_of(
    file: &AdoptedFile,
    column: &Column,
    rules: &FieldRules,
) -> Result<Option<String>, Error> {
    let fields = file.fields();
    let exactly = |name: &str| fields.iter().find(|field| *field == name);
    if let Some((_, field)) = rules.map.iter().find(|(name, _)| *name == column.name) {
        return match exactly(field) {
            Some(field) => Ok(Some(field.clone())),
            None => Err(lacks(file, field, "named by --map")),
        };
    }
    let member = match &column.origin {
        ColumnOrigin::Record(path) => match path.as_slice() {
            [Segment::Name(name)] => exactly(name),
            _ => None,
        },
        _ => None,
    };
    let other_case = || fields.iter().find(|field| field.eq_ignore_ascii_case(&column.name));
    Ok(exactly(&column.name).or(member).or_else(other_case).cloned())
}

/// What the stream cannot do without, and what for.
fn needed(stream: &Stream) -> Vec<(&str, &'static str)> {
    let (Key::Columns(names) | Key::Hash(names)) = &stream.key;
    let mut needed: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "part of the key")).collect();
    if let StreamKind::Window(rules) = &stream.kind {
        needed.push((&rules.field, "the window's field"));
    }
    needed
}

fn lacks(file: &AdoptedFile, name: &str, role: &str) -> Error {
    let whose = match file.table() {
        Some(table) => format!("the table `{table}`"),
        None => "the file".to_owned(),
    };
    let fields = file.fields();
    let near = nearest(name, fields.iter().map(String::as_str));
    let example = near.map_or("FIELD".to_owned(), str::to_owned);
    let help = format!("it has: {}; say `--map {name}={example}`", fields.join(", "));
    Error::usage(format!("{whose} has no column `{name}`, which is {role}")).help(help)
}
