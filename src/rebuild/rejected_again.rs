//! The rejects of a stream that was made again: those that came out again keep their numbers, what
//! a person has set aside stays so, and those that no kept page holds are carried over.

use crate::model::Error;
use crate::rebuild::table_swap::part_before;
use crate::store::error::at;
use crate::store::sql::quote;
use crate::store::transaction::Tx;

/// Orphans that a person has set aside have their numbers above this one while the others are made
/// again. Until one of them comes out again no run has seen it last, which 0 stands for.
const ASIDE: i64 = 1 << 40;
/// And those that have just been made above this one, while they are given theirs.
const NEW: i64 = 1 << 42;

impl Tx<'_> {
    /// Takes the rejects off, apart from orphans that a person has set aside: those are not taken
    /// up by themselves.
    pub(crate) fn take_rejects_off(&self, stream: &str) -> rusqlite::Result<()> {
        self.connection.execute_batch(&format!(
            "DELETE FROM _windrow_rejects WHERE stream = '{stream}'
                AND (discarded_at IS NULL OR kind <> 'orphan');
             UPDATE _windrow_rejects SET reject_id = reject_id + {ASIDE}, last_run_id = 0
             WHERE stream = '{stream}'"
        ))
    }

    /// Brings the rejects of a stream together with those that were set aside.
    pub fn settle_rejects(&self, stream: &str) -> Result<(), Error> {
        let old = quote(&part_before("_windrow_rejects", stream));
        let same = "new.partition = old.partition AND new.record_sha256 = old.record_sha256";
        let kept_run = format!("SELECT run_id FROM _windrow_raw_pages WHERE stream = '{stream}'");
        let settle = || -> rusqlite::Result<()> {
            // What a person has set aside stays so, also where the fault is another one now; it
            // goes where its page gives a row.
            self.connection.execute_batch(&format!(
                "UPDATE _windrow_rejects SET reject_id = reject_id + {NEW}
                 WHERE stream = '{stream}' AND reject_id NOT IN
                    (SELECT reject_id + {ASIDE} FROM {old}
                     WHERE discarded_at IS NOT NULL AND kind = 'orphan');
                 UPDATE _windrow_rejects AS new SET discarded_at = old.discarded_at,
                    discarded_by = old.discarded_by, discard_note = old.discard_note
                 FROM {old} AS old WHERE new.stream = '{stream}' AND new.reject_id > {NEW}
                    AND old.discarded_at IS NOT NULL AND {same};
                 UPDATE _windrow_rejects AS new SET closed_at = old.closed_at
                 FROM {old} AS old WHERE new.stream = '{stream}' AND new.reject_id > {NEW}
                    AND old.closed_at IS NOT NULL AND {same};
                 DELETE FROM _windrow_rejects WHERE stream = '{stream}' AND reject_id < {NEW}
                    AND last_run_id = 0 AND reject_id - {ASIDE} IN
                    (SELECT reject_id FROM {old} WHERE last_run_id IN ({kept_run}));
                 UPDATE _windrow_rejects AS new SET reject_id = old.reject_id,
                    last_run_id = max(new.last_run_id, old.last_run_id)
                 FROM {old} AS old WHERE new.stream = '{stream}'
                    AND new.reject_id = old.reject_id + {ASIDE}"
            ))?;
            self.connection.execute_batch(&format!(
                "UPDATE _windrow_rejects AS new SET reject_id = old.reject_id,
                    first_seen_at = old.first_seen_at, run_id = old.run_id,
                    start_at = old.start_at, end_at = old.end_at,
                    last_run_id = max(new.last_run_id, old.last_run_id)
                 FROM {old} AS old WHERE new.stream = '{stream}'
                    AND new.reject_id > {NEW} AND {same} AND new.kind = old.kind;
                 UPDATE _windrow_rejects AS new SET reject_id = fresh.number
                 FROM (SELECT reject_id AS was, row_number() OVER (ORDER BY reject_id)
                        + (SELECT max(coalesce(max(reject_id), 0),
                            coalesce((SELECT max(reject_id) FROM {old}), 0))
                           FROM _windrow_rejects WHERE reject_id < {NEW}) AS number
                       FROM _windrow_rejects WHERE stream = '{stream}'
                          AND reject_id > {NEW}) AS fresh
                 WHERE new.reject_id = fresh.was;
                 INSERT INTO _windrow_rejects SELECT * FROM {old} AS old
                 WHERE last_run_id NOT IN ({kept_run}) AND NOT EXISTS
                    (SELECT 1 FROM _windrow_rejects AS new
                     WHERE new.stream = '{stream}' AND {same} AND new.kind = old.kind)"
            ))
        };
        settle().map_err(at(&self.path))
    }
}
