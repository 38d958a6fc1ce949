//! Does the text have the shape of a definition? Finds every unknown key, wrong type and missing
//! key at once, each with its place, by walking the JSON Schema that is made from `raw.rs`.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, suggest};

/// Everything about `table` that the schema does not allow.
pub fn problems_of_shape(schema: &Value, table: &Spanned<DeTable<'_>>) -> Vec<Problem> {
    let mut walk = ShapeWalk { root: schema, problems: Vec::new() };
    walk.table(schema, table.get_ref(), table.span(), "the definition");
    walk.problems
}

struct ShapeWalk<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

impl<'s> ShapeWalk<'s> {
    fn resolve(&self, mut schema: &'s Value) -> &'s Value {
        while let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.trim_start_matches('#');
            schema = self.root.pointer(pointer).expect("the schema's own references resolve");
        }
        schema
    }

    fn value(&mut self, schema: &'s Value, value: &Spanned<DeValue<'_>>, name: &str) {
        let schema = self.resolve(schema);
        if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
            if kinds.iter().all(|kind| kind.get("const").is_some()) {
                return self.text_of(kinds, value, name);
            }
            return self.tagged(kinds, value, name);
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return self.any_of(options, value, name);
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return self.text_of(options, value, name);
        }
        let Some(types) = types_of(schema) else { return self.free(value, name) };
        if !types.iter().any(|kind| matches_type(kind, value.get_ref())) {
            let expected = types.iter().filter(|kind| **kind != "null").map(|kind| spoken(kind));
            let expected: Vec<_> = expected.collect();
            self.report(
                value.span(),
                format!(
                    "`{name}` must be {}, not {}",
                    expected.join(" or "),
                    spoken(json_type(value.get_ref()))
                ),
            );
            return;
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(schema, table, value.span(), name),
            DeValue::Array(items) => {
                if let Some(item) = schema.get("items") {
                    for each in items.iter() {
                        self.value(item, each, name);
                    }
                }
            }
            DeValue::Integer(_) => self.range(schema, value, name),
            _ => {}
        }
    }

    /// Any value that JSON has; dates are none of these.
    fn free(&mut self, value: &Spanned<DeValue<'_>>, name: &str) {
        match value.get_ref() {
            DeValue::Datetime(_) => {
                let message = format!("`{name}` holds {}", spoken("datetime"));
                self.report(value.span(), message);
            }
            DeValue::Array(items) => items.iter().for_each(|each| self.free(each, name)),
            DeValue::Table(table) => {
                table.iter().for_each(|(key, each)| self.free(each, key.get_ref()));
            }
            _ => {}
        }
    }

    fn range(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, name: &str) {
        let DeValue::Integer(number) = value.get_ref() else { return };
        let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) else {
            return self.report(value.span(), format!("`{name}` is too large a number"));
        };
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        if bound("minimum").is_some_and(|least| number < least) {
            let least = bound("minimum").unwrap_or_default();
            self.report(value.span(), format!("`{name}` must be at least {least}"));
        }
        if bound("maximum").is_some_and(|most| number > most) {
            let most = bound("maximum").unwrap_or_default();
            self.report(value.span(), format!("`{name}` must be at most {most}"));
        }
    }

    fn table(&mut self, schema: &'s Value, table: &DeTable<'_>, span: Range<usize>, name: &str) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let open = schema.get("additionalProperties");
        for (key, value) in table {
            let key_name: &str = key.get_ref();
            if let Some(found) = known.and_then(|known| known.get(key_name)) {
                self.value(found, value, key_name);
            } else if let Some(each) = open.filter(|open| open.is_object()) {
                self.value(each, value, key_name);
            } else if open == Some(&Value::Bool(false)) {
                let mut problem = Problem::new(key.span(), format!("unknown key `{key_name}`"));
                let names = known.unwrap_or(&none).keys().map(String::as_str);
                problem.help = suggest(key_name, names);
                self.problems.push(problem);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !table.iter().any(|(have, _)| have.get_ref() == key) {
                let start = span.start..span.end.min(span.start + 1).max(span.start);
                self.report(header_span(&span, start), format!("`{key}` is missing from `{name}`"));
            }
        }
    }

    /// A choice of texts.
    fn text_of(&mut self, options: &[Value], value: &Spanned<DeValue<'_>>, name: &str) {
        let known =
            options.iter().filter_map(|option| option.get("const").unwrap_or(option).as_str());
        match value.get_ref().as_str() {
            Some(text) if known.clone().any(|option| option == text) => {}
            Some(text) => {
                let mut problem =
                    Problem::new(value.span(), format!("`{text}` is not a value of `{name}`"));
                problem.help = suggest(text, known);
                self.problems.push(problem);
            }
            None => self.report(value.span(), format!("`{name}` must be text")),
        }
    }

    /// A choice of tables, told apart by `kind`.
    fn tagged(&mut self, options: &'s [Value], value: &Spanned<DeValue<'_>>, name: &str) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.report(value.span(), format!("`{name}` must be a table with a `kind`"));
        };
        let Some((_, kind)) = table.iter().find(|(key, _)| key.get_ref() == "kind") else {
            return self.report(value.span(), format!("`kind` is missing from `{name}`"));
        };
        let name_of =
            |option: &&'s Value| option.pointer("/properties/kind/const").and_then(Value::as_str);
        let chosen = options.iter().find(|option| name_of(option) == kind.get_ref().as_str());
        match chosen {
            Some(option) => self.table(option, table, value.span(), name),
            None => {
                let text = kind.get_ref().as_str().unwrap_or_default();
                let mut problem = Problem::new(kind.span(), format!("unknown kind of `{name}`"));
                problem.help = suggest(text, options.iter().filter_map(|option| name_of(&option)));
                self.problems.push(problem);
            }
        }
    }

    /// A choice by type: the option whose type fits is the one that is meant.
    fn any_of(&mut self, options: &'s [Value], value: &Spanned<DeValue<'_>>, name: &str) {
        if let Some(option) = options.iter().find(|option| self.fits(option, value)) {
            return self.value(option, value, name);
        }
        let described = options.iter().map(|option| {
            let option = self.resolve(option);
            match types_of(option) {
                Some(types) => types.iter().map(|t| spoken(t)).collect::<Vec<_>>().join(" or "),
                None => spoken("string").to_owned(),
            }
        });
        let mut described: Vec<_> = described.filter(|text| text != "nothing").collect();
        described.dedup();
        let found = spoken(json_type(value.get_ref()));
        let expected = described.join(" or ");
        self.report(value.span(), format!("`{name}` must be {expected}, not {found}"));
    }

    /// Whether the value is of the kind that this option of a choice is about.
    fn fits(&self, option: &'s Value, value: &Spanned<DeValue<'_>>) -> bool {
        let option = self.resolve(option);
        if let Some(nested) = option.get("anyOf").and_then(Value::as_array) {
            return nested.iter().any(|option| self.fits(option, value));
        }
        if option.get("oneOf").is_some() {
            // A nested choice is of texts or of tables; a text is let through to be told so.
            let texts = option.pointer("/oneOf/0/const").is_some();
            return value.get_ref().is_str() || !texts && value.get_ref().is_table();
        }
        option.get("enum").is_some() && value.get_ref().is_str()
            || types_of(option)
                .is_some_and(|types| types.iter().any(|t| matches_type(t, value.get_ref())))
    }

    fn report(&mut self, span: Range<usize>, message: String) {
        self.problems.push(Problem::new(span, message));
    }
}

/// A missing key is shown at the table's header, not over all its lines.
fn header_span(whole: &Range<usize>, start: Range<usize>) -> Range<usize> {
    if whole.end - whole.start <= 80 { whole.clone() } else { start }
}

fn types_of(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(kind) => Some(vec![kind]),
        Value::Array(kinds) => Some(kinds.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn matches_type(kind: &str, value: &DeValue<'_>) -> bool {
    kind == json_type(value) || kind == "number" && value.is_integer()
}

fn json_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "datetime",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn spoken(kind: &str) -> &'static str {
    match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        "datetime" => "a bare date (put it in quotes)",
        _ => "nothing",
    }
}
