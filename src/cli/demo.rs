//! `windrow demo`: the whole story, without a network.

use crate::host::Host;

use super::args::DemoArguments;
use super::error::Failure;
use super::output::Output;

pub fn run(_args: &DemoArguments, _host: &Host, _output: &Output) -> Result<u8, Failure> {
    Ok(0)
}
