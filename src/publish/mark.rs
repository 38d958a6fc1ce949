//! What was sent before, and what is to be sent now. Decides, and does nothing.
//!
//! A pass sends every row that a run after `from` has written, in the order of the keys, and then
//! counts as far as run `to`. Where it was cut off it goes on behind the last key that is over
//! there: rows that changed behind that place have a run after `to`, and the next pass takes them.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::model::hexadecimal;
use crate::publish::Phase;
use crate::store::Value;

/// A run, by its number here and its name everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName {
    /// Its number; 0 is before the first.
    pub run: i64,
    /// Its name in every archive that holds it: 32 hexadecimal digits.
    pub uid: String,
}

/// A pass over a stream, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Rows of runs after this one are sent.
    pub from: i64,
    /// Up to where it counts once it is done.
    pub to: RunName,
    /// Whether this archive's word replaces what it has sent before, whatever that was. Not where
    /// the archive is an older copy of itself, put back.
    pub own: bool,
    /// Whether the table held nothing when the pass began.
    pub copy: bool,
    /// Whether rows that are no longer here are looked for over there when it ends.
    pub sweep: bool,
    /// Whether deleted rows are being sent; the others come first.
    pub gone: bool,
    /// The last key that was sent; none at the beginning.
    pub after: Option<Vec<Json>>,
}

impl Pass {
    /// Which rows are being sent.
    pub fn phase(&self) -> Phase {
        if self.gone { Phase::Gone } else { Phase::Rows }
    }
}

/// What the database over there knows of an archive's stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishedMark {
    /// Up to where everything is over there; none before the first pass is done.
    pub sent: Option<RunName>,
    /// A pass that was cut off.
    pub pass: Option<Pass>,
    /// The columns that were sent.
    pub columns: String,
    /// The digest of the coverage that is shown there.
    pub coverage: Option<String>,
    /// How often this mark was moved: whoever moves it knows that nobody else has.
    pub step: i64,
}

/// What the archive says of itself.
pub struct Here<'a> {
    /// The newest run up to which none is at work.
    pub newest: RunName,
    /// The stream's columns as text: another text means that all rows are sent again.
    pub columns: &'a str,
    /// Whether its table over there holds nothing.
    pub empty: bool,
}

/// Why a pass begins where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassReason {
    /// Nothing was sent before.
    First,
    /// What was sent last is known here too.
    News,
    /// A pass was cut off.
    CutOff,
    /// What was sent last is not known here: this is an older copy.
    Restored,
    /// There are other columns.
    Columns,
}

/// What is sent next. `uid` tells the name of a run of this archive, and `undone` whether a run
/// since may have taken rows away without a trace.
pub fn next_pass<E>(
    mark: &PublishedMark,
    here: &Here<'_>,
    uid: impl Fn(i64) -> Result<Option<String>, E>,
    undone: impl Fn(i64) -> Result<bool, E>,
) -> Result<(Pass, PassReason), E> {
    let known = |name: &RunName| -> Result<bool, E> {
        Ok(name.run == 0 || uid(name.run)?.is_some_and(|uid| uid == name.uid))
    };
    let from = |run: i64, own: bool| Pass {
        from: run,
        to: here.newest.clone(),
        own,
        copy: run == 0 && here.empty,
        sweep: false,
        gone: false,
        after: None,
    };
    for name in mark.sent.iter().chain(mark.pass.iter().map(|pass| &pass.to)) {
        if !known(name)? {
            return Ok((from(0, false), PassReason::Restored));
        }
    }
    if (mark.sent.is_some() || mark.pass.is_some()) && mark.columns != here.columns {
        return Ok((Pass { sweep: true, ..from(0, true) }, PassReason::Columns));
    }
    if let Some(pass) = &mark.pass {
        return Ok((pass.clone(), PassReason::CutOff));
    }
    match &mark.sent {
        None => Ok((from(0, true), PassReason::First)),
        Some(sent) => {
            let sweep = undone(sent.run)?;
            Ok((Pass { sweep, ..from(sent.run, true) }, PassReason::News))
        }
    }
}

/// A key as it is noted over there.
pub fn key_to_json(key: &[Value]) -> Vec<Json> {
    let one = |value: &Value| match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) => json!({ "real": number.to_bits().to_string() }),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "blob": hexadecimal(bytes) }),
    };
    key.iter().map(one).collect()
}

/// Reads what [`key_to_json`] wrote; none where it is something else.
pub fn key_from_json(key: &[Json]) -> Option<Vec<Value>> {
    let one = |json: &Json| match json {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Number(number) => number.as_i64().map(Value::Integer),
        Json::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Json::as_str);
            let real = text("real").and_then(|bits| bits.parse().ok()).map(f64::from_bits);
            real.map(Value::Real).or_else(|| bytes_of(text("blob")?).map(Value::Blob))
        }
        _ => None,
    };
    key.iter().map(one).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(run: i64) -> RunName {
        RunName { run, uid: format!("uid {run}") }
    }

    fn next(mark: &PublishedMark, newest: i64) -> (Pass, PassReason) {
        let here = Here { newest: name(newest), columns: "c", empty: false };
        let uid = |run: i64| Ok::<_, ()>((run <= newest).then(|| format!("uid {run}")));
        next_pass(mark, &here, uid, |_| Ok(false)).expect("decided")
    }

    fn mark(sent: Option<RunName>, pass: Option<Pass>) -> PublishedMark {
        PublishedMark { sent, pass, columns: "c".into(), coverage: None, step: 1 }
    }

    fn cut_off() -> Pass {
        let after = Some(vec![json!("k")]);
        Pass { from: 2, to: name(4), own: true, copy: false, sweep: false, gone: false, after }
    }

    #[test]
    fn a_pass_begins_where_the_last_one_ended() {
        let (pass, why) = next(&PublishedMark::default(), 5);
        assert_eq!((pass.from, pass.to, pass.own, why), (0, name(5), true, PassReason::First));
        let (pass, why) = next(&mark(Some(name(3)), None), 5);
        assert_eq!((pass.from, pass.to, pass.own, why), (3, name(5), true, PassReason::News));
        let (pass, why) = next(&mark(Some(name(2)), Some(cut_off())), 5);
        assert_eq!((pass, why), (cut_off(), PassReason::CutOff), "behind the last key");
    }

    #[test]
    fn an_older_copy_sends_everything_and_beats_nothing_that_it_once_knew() {
        for mark in [
            mark(Some(name(7)), None),
            mark(Some(name(2)), Some(Pass { to: name(7), ..cut_off() })),
        ] {
            let (pass, why) = next(&mark, 5);
            assert_eq!(
                (pass.from, pass.own, pass.after, why),
                (0, false, None, PassReason::Restored)
            );
        }
        let other = RunName { run: 3, uid: "another's".into() };
        assert_eq!(next(&mark(Some(other), None), 5).1, PassReason::Restored);
    }

    #[test]
    fn other_columns_are_sent_for_all_rows() {
        let before = PublishedMark { columns: "b".into(), ..mark(Some(name(3)), Some(cut_off())) };
        let (pass, why) = next(&before, 5);
        assert_eq!((pass.from, pass.own, why), (0, true, PassReason::Columns));
    }

    #[test]
    fn a_key_is_noted_so_that_every_type_comes_back() {
        let key = [
            Value::Text("a\"b\0".into()),
            Value::Integer(i64::MAX),
            Value::Real(-0.1),
            Value::Blob(vec![0, 171]),
        ];
        let text = serde_json::to_string(&key_to_json(&key)).expect("JSON");
        let back: Vec<Json> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(key_from_json(&back).as_deref(), Some(&key[..]));
        assert_eq!(key_from_json(&[Json::Bool(true)]), None);
    }
}
