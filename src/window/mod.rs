//! PURE. Which stretches of time are read next, and how an API is asked for them.
//!
//! No clock, no IO: `now` and the ledger come in as values, a plan comes out as a value.

mod bounds;
mod coverage;
mod grid;
mod plan;

pub use bounds::{
    AskedRange, ceil_to, floor_to, grid_start, reach_of, render_bounds, upper_is_included,
};
pub use coverage::Coverage;
pub use grid::Grid;
pub use plan::{
    Reason, Task, WindowPlan, asked_range, fetch_is_old, halve, is_settled, plan_again,
    plan_windows,
};
