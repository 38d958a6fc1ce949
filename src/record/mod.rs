//! PURE. From a page to rows and rejects: extract, normalise, key, dedupe.
//!
//! Everything works on the text that came: a value is only decoded where its column's type says
//! so, and what cannot be kept exactly is kept verbatim. No IO, no clock.

mod ancestors;
mod body;
mod canonical;
mod coerce;
mod extract;
mod file_fields;
mod filler;
mod infer;
mod json;
mod non_numbers;
mod page;
mod pointer;
mod pretty;
mod reader;
mod recast;
mod shapes;

pub use ancestors::{KeptRecord, NotRead, read_kept};
pub use body::Body;
pub use canonical::{canonical_json, hash_key};
pub use coerce::is_json_number;
pub use extract::{ExtractError, RecordStep, body_value, extract, text_at};
pub use file_fields::FileFields;
pub use filler::Filler;
pub use infer::{MEMBER_NAMES_MAX, infer_columns, member_names};
pub use json::{Elements, Members};
pub use page::{KeyClash, PageContext, PageMark, PageRows, hash_text, read_page};
pub use pointer::spoken_origin;
pub use pretty::{Pretty, PrettyLine, pretty};
pub use reader::RecordReader;
pub use recast::{Recast, Recasted, corrected, is_read_otherwise};
