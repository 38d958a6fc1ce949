//! `windrow schema`: the JSON Schema of `windrow.toml`, for editors.

use crate::definition::json_schema;
use crate::model::{Error, ExitCode};

use super::output::Output;

pub fn run(output: &Output) -> Result<ExitCode, Error> {
    let schema = serde_json::to_string_pretty(&json_schema()).expect("a schema is JSON");
    output.exact(&format!("{schema}\n"))?;
    Ok(ExitCode::Done)
}
