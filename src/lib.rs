//! windrow keeps one SQLite archive of what HTTP APIs say.
pub mod archive;
pub mod cli;
pub mod definition;
pub mod demo;
pub mod host;
pub mod model;
pub mod pull;
pub mod record;
pub mod report;
pub mod sync;
pub mod window;
