//! The fuzz targets of windrow. Their bodies lie in `targets.rs`, which the ordinary tests include
//! too, so that `cargo test` replays the corpus through the same functions.

mod targets;

pub use targets::*;
