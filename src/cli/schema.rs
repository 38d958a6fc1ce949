//! `windrow schema`: the JSON Schema of `windrow.toml`, for editors.

use crate::definition::json_schema;

use super::error::Failure;
use super::output::Output;

pub fn run(output: &Output) -> Result<u8, Failure> {
    let schema = serde_json::to_string_pretty(&json_schema()).expect("a schema is JSON");
    output.exact(&format!("{schema}\n"))?;
    Ok(0)
}
