//! The story that `windrow demo` tells: an API as it is, a laptop as it is used, and the proof at
//! the end that nothing is missing and nothing is doubled.
//!
//! The archive is made by the very engine and, once, by the very binary that users run.

mod api;
mod story;
mod world;

pub use story::{ClientTotal, Conclusion, DemoScene, ShowScene, tell};
