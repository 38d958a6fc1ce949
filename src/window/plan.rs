//! Which windows are due, in which order, and what is asked for each.

use std::cmp::Reverse;

use crate::definition::{Order, Span, WindowRules};
use crate::model::{Entry, State, Timestamp, Window};

use super::bounds::{after_doubled, before_doubled, ceil_to, floor_to, lower_is_excluded};
use super::{Coverage, Grid};

/// Why a window is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It was never read.
    Pending,
    /// A fetch of it was broken off.
    Resume,
    /// It could not be read as a whole.
    Truncated,
    /// It is read, but may still change.
    Refresh,
    /// It contains the present and is not over.
    Open,
    /// Somebody asked for it.
    Asked,
    /// Rows were adopted into it that no fetch has confirmed.
    Adopted,
    /// A merged archive holds other values of it.
    Disputed,
    /// It was fetched by another request than the definition makes now.
    Outdated,
}

impl Reason {
    /// The reason in one word, as JSON and the archive have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Pending => "pending",
            Reason::Resume => "resume",
            Reason::Truncated => "truncated",
            Reason::Refresh => "refresh",
            Reason::Open => "open",
            Reason::Asked => "asked",
            Reason::Adopted => "adopted",
            Reason::Disputed => "disputed",
            Reason::Outdated => "outdated",
        }
    }
}

/// A window to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What the fetch will cover.
    pub window: Window,
    /// What is asked for: with overlap, no further than now.
    pub asked: Window,
    pub reason: Reason,
    /// The broken-off fetch that may be carried on.
    pub resume: Option<Entry>,
    /// When it was read last.
    pub read_at: Option<Timestamp>,
}

/// The facts that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct WindowPlan<'a> {
    /// How the stream is cut.
    pub rules: &'a WindowRules,
    /// Where its grid starts, resolved.
    pub start: Timestamp,
    /// The time of the plan.
    pub now: Timestamp,
    /// A stretch that is read whatever its state.
    pub range: Option<Window>,
}

/// Whether a fetch can no longer change: it reached the window's end, and was begun after the
/// end and the lateness. The end is that of the step of the grid, also for a piece of one: what
/// the definition says of lateness, it says of steps. What was settled under a shorter step stays
/// so.
pub fn is_settled(entry: &Entry, rules: &WindowRules, start: Timestamp) -> bool {
    let (Some(window), Some(read_to)) = (entry.window, entry.read_to) else { return false };
    let grid = Grid::new(start, rules.step, rules.zone);
    let cell = grid.cell_at(window.end() - chrono::TimeDelta::milliseconds(1));
    let of_step = cell.map_or(window.end(), |cell| cell.end());
    let end = if entry.state == State::Settled { window.end() } else { of_step };
    matches!(entry.state, State::Complete | State::Settled)
        && read_to >= window.end()
        && rules.lateness.after(end, rules.zone).is_some_and(|at| entry.requested_at >= at)
}

/// The windows that are due, in the order in which they are read.
pub fn plan_windows(plan: &WindowPlan<'_>, ledger: &[Entry]) -> Vec<Task> {
    let Some((grid, universe)) = universe(plan) else { return Vec::new() };
    let mut tasks = Vec::new();
    let mut claimed = Vec::new();
    for entry in ledger {
        let Some(window) = entry.window else { continue };
        if !window.overlaps(universe) {
            continue;
        }
        let cell = grid.cell_at(window.start());
        let fits = cell.is_some_and(|cell| window.end() <= cell.end());
        if matches!(entry.state, State::Partial | State::Truncated | State::Absent) && !fits {
            // It covers nothing, and the grid has changed: its span is planned anew.
            continue;
        }
        claimed.push(window);
        let Some(reason) = due(plan, entry, window) else { continue };
        let resume = (entry.state == State::Partial).then(|| entry.clone());
        let read_at = Some(entry.requested_at);
        let dated = |task: Task| Task { read_at, ..task };
        if fits {
            tasks.extend(task(plan, window, reason, resume).map(dated));
        } else {
            let pieces = grid.cells(window).filter_map(|cell| cell.intersection(window));
            tasks.extend(pieces.filter_map(|piece| task(plan, piece, reason, None)).map(dated));
        }
    }
    let claimed = Coverage::of(claimed);
    for cell in grid.cells(universe) {
        for gap in claimed.gaps(cell) {
            let gap = widen(gap, cell, plan.rules);
            let open = gap.contains(plan.now);
            let reason = if open { Reason::Open } else { Reason::Pending };
            let reason = if plan.range.is_some() { Reason::Asked } else { reason };
            tasks.extend(task(plan, gap, reason, None));
        }
    }
    let mut tasks: Vec<Task> = tasks.into_iter().flat_map(|task| cut_to_span(plan, task)).collect();
    tasks.sort_by_key(|task| task.window);
    if plan.rules.order == Order::Newest {
        tasks.reverse();
    }
    // What is not known comes before what may have changed, the longest unread of that first.
    // Then comes what another request has fetched, the newest first, and what failed before comes
    // last: nothing keeps anything else from being read for ever.
    tasks.sort_by_key(|task| match task.reason {
        Reason::Truncated => (3, None, None),
        Reason::Resume if task.resume.as_ref().is_some_and(|entry| entry.failed) => (3, None, None),
        Reason::Outdated => (2, None, Some(Reverse(task.window))),
        Reason::Refresh => (1, task.read_at, None),
        _ => (0, None, None),
    });
    tasks
}

/// The fetches of a window that somebody picked, whatever its state: itself, or its steps where
/// it is longer than one, each no longer than the API takes.
pub fn plan_again(plan: &WindowPlan<'_>, window: Window) -> Vec<Task> {
    let grid = Grid::new(plan.start, plan.rules.step, plan.rules.zone);
    let cell = grid.cell_at(window.start());
    let pieces: Vec<Window> = match cell {
        Some(cell) if window.end() > cell.end() => {
            grid.cells(window).filter_map(|cell| cell.intersection(window)).collect()
        }
        // Also where it lies before the start of the grid, as backfills do.
        _ => vec![window],
    };
    let tasks = pieces.into_iter().filter_map(|piece| task(plan, piece, Reason::Asked, None));
    tasks.flat_map(|task| cut_to_span(plan, task)).collect()
}

/// The grid and the stretch that is looked at: from the start to the end of the open window, or
/// the cells that the asked-for range touches.
fn universe(plan: &WindowPlan<'_>) -> Option<(Grid, Window)> {
    let rules = plan.rules;
    let mut start = plan.start;
    if let Some(range) = plan.range {
        // A backfill may reach before the start: whole steps back.
        for n in 1.. {
            if start <= range.start() {
                break;
            }
            start = rules.step.add_times(plan.start, rules.zone, -n)?;
        }
    }
    let grid = Grid::new(start, rules.step, rules.zone);
    let horizon = grid.cell_at(plan.now)?.end();
    let all = Window::new(start, horizon)?;
    let Some(range) = plan.range else { return Some((grid, all)) };
    let range = range.intersection(all)?;
    let first = grid.cell_at(range.start())?;
    let last = grid.cell_at(range.end() - chrono::TimeDelta::milliseconds(1))?;
    Some((grid, Window::new(first.start(), last.end())?))
}

/// Why an entry is due, if it is.
fn due(plan: &WindowPlan<'_>, entry: &Entry, window: Window) -> Option<Reason> {
    match entry.state {
        State::Partial => return Some(Reason::Resume),
        State::Truncated => return Some(Reason::Truncated),
        State::Complete | State::Settled | State::Absent => {}
    }
    if plan.range.is_some() {
        return Some(Reason::Asked);
    }
    if entry.state == State::Absent && !entry.outdated {
        return fetch_is_old(entry, plan.rules.refresh, plan.now).then_some(Reason::Refresh);
    }
    if entry.read_to.is_none_or(|read_to| read_to < window.end()) {
        return Some(Reason::Open);
    }
    if entry.adopted_since {
        return Some(Reason::Adopted);
    }
    if entry.disputed {
        return Some(Reason::Disputed);
    }
    if entry.outdated {
        return Some(Reason::Outdated);
    }
    // A fetch from a time that has not come was made by a clock that ran ahead.
    let from_the_future = !entry.dated_by_source && entry.requested_at > plan.now;
    if !from_the_future && is_settled(entry, plan.rules, plan.start) {
        return None;
    }
    fetch_is_old(entry, plan.rules.refresh, plan.now).then_some(Reason::Refresh)
}

/// Whether a fetch is older than it may get.
pub fn fetch_is_old(entry: &Entry, refresh: Option<Span>, now: Timestamp) -> bool {
    match (refresh, entry.completed_at) {
        // What was done at a time that has not come was noted by a clock that ran ahead.
        (Some(refresh), Some(done)) if done <= now => {
            now.signed_duration_since(done) >= refresh.to_delta()
        }
        _ => true,
    }
}

fn task(
    plan: &WindowPlan<'_>,
    window: Window,
    reason: Reason,
    resume: Option<Entry>,
) -> Option<Task> {
    let asked = asked_range(plan, window, plan.rules.overlap)?;
    Some(Task { window, asked, reason, resume, read_at: None })
}

/// What is asked for a window: `overlap` further back, but never before the start of the grid
/// (or of the window, in a backfill), and no further than now unless the API knows the future.
pub fn asked_range(plan: &WindowPlan<'_>, window: Window, overlap: Span) -> Option<Window> {
    let rules = plan.rules;
    let lower = overlap.before(window.start(), rules.zone)?;
    let lower = lower.max(plan.start.min(window.start()));
    let upper = if rules.ahead {
        window.end()
    } else {
        window.end().min(ceil_to(plan.now, rules.precision, rules.zone))
    };
    let lower = floor_to(lower, rules.precision, rules.zone);
    let upper = ceil_to(upper, rules.precision, rules.zone);
    Window::new(before_doubled(lower, rules), after_doubled(upper, rules))
}

/// A gap whose edges the API cannot tell apart is read with its surroundings, inside its cell.
fn widen(gap: Window, cell: Window, rules: &WindowRules) -> Window {
    let start = floor_to(gap.start(), rules.precision, rules.zone).max(cell.start());
    let end = ceil_to(gap.end(), rules.precision, rules.zone).min(cell.end());
    Window::new(start, end).unwrap_or(gap)
}

/// Cuts a task so that no request is longer than the API takes.
fn cut_to_span(plan: &WindowPlan<'_>, whole: Task) -> Vec<Task> {
    let rules = plan.rules;
    let Some(most) = rules.max_span else { return vec![whole] };
    let mut pieces = Vec::new();
    let mut from = whole.window.start();
    while from < whole.window.end() {
        let asked = Window::new(from, whole.window.end())
            .and_then(|rest| asked_range(plan, rest, rules.overlap));
        let Some(asked) = asked else { break };
        // An excluded lower bound is written one step earlier, and that is what the API measures.
        let written = match lower_is_excluded(rules) {
            false => Some(asked.start()),
            true => rules.precision.before(asked.start(), rules.zone),
        };
        let reach = written.and_then(|written| most.after(written, rules.zone));
        let reach = reach.unwrap_or(asked.end());
        if asked.end() <= reach {
            let rest = Window::new(from, whole.window.end());
            let rest = rest.and_then(|rest| task(plan, rest, whole.reason, None));
            pieces.extend(rest.map(|rest| Task { read_at: whole.read_at, ..rest }));
            break;
        }
        let edge = floor_to(reach, rules.precision, rules.zone);
        let Some(piece) = Window::new(from, edge) else {
            // Overlap and precision leave no room; the definition is checked against this.
            return vec![whole];
        };
        let piece = task(plan, piece, whole.reason, None);
        pieces.extend(piece.map(|piece| Task { read_at: whole.read_at, ..piece }));
        from = edge;
    }
    if pieces.len() == 1 {
        return vec![whole];
    }
    pieces
}

/// The two halves of a window, at a tick that the API can tell; none when it is one tick long.
pub fn halve(window: Window, rules: &WindowRules) -> Option<(Window, Window)> {
    let length = window.end().signed_duration_since(window.start());
    let middle = window.start() + length / 2;
    let mut edge = floor_to(middle, rules.precision, rules.zone);
    if edge <= window.start() {
        edge = ceil_to(middle, rules.precision, rules.zone);
    }
    Window::new(window.start(), edge).zip(Window::new(edge, window.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Bounds;
    use crate::model::instant_from_text;
    use crate::window::bounds::tests::rules;
    use chrono_tz::Tz;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        instant_from_text(&text).expect("a test instant")
    }

    fn window(start: &str, end: &str) -> Window {
        Window::new(at(start), at(end)).expect("a test window")
    }

    fn entry(window: Window, state: State, read_to: Timestamp, requested_at: Timestamp) -> Entry {
        Entry {
            window: Some(window),
            state,
            read_to: Some(read_to),
            requested_at,
            completed_at: Some(requested_at),
            token: None,
            cursor: None,
            source_total: None,
            failed: false,
            same_definition: true,
            dated_by_source: false,
            adopted_since: false,
            disputed: false,
            run: 0,
            outdated: false,
        }
    }

    fn daily() -> WindowRules {
        let mut rules = rules("1 day", Bounds::ClosedOpen, "%Y-%m-%d", Tz::UTC);
        rules.overlap = Span::parse("2 days").expect("a span");
        rules.lateness = Span::parse("3 days").expect("a span");
        rules
    }

    fn plan_text(rules: &WindowRules, ledger: &[Entry], now: &str) -> Vec<String> {
        let plan = WindowPlan { rules, start: at("2026-01-01"), now: at(now), range: None };
        let tasks = plan_windows(&plan, ledger);
        let text = |task: &Task| format!("{} asks {} {:?}", task.window, task.asked, task.reason);
        tasks.iter().map(text).collect()
    }

    #[test]
    fn an_empty_ledger_makes_every_window_due_and_asks_no_further_than_now() {
        assert_eq!(
            plan_text(&daily(), &[], "2026-01-03T10:00:00Z"),
            [
                "2026-01-01..2026-01-02 asks 2026-01-01..2026-01-02 Pending",
                "2026-01-02..2026-01-03 asks 2026-01-01..2026-01-03 Pending",
                "2026-01-03..2026-01-04 asks 2026-01-01..2026-01-04 Open",
            ]
        );
        let mut hourly = daily();
        hourly.format = crate::definition::TimeFormat::Unix;
        hourly.precision = hourly.format.precision();
        let tasks = plan_text(&hourly, &[], "2026-01-01T10:00:00Z");
        assert_eq!(
            tasks,
            ["2026-01-01..2026-01-02 asks \
            2026-01-01T00:00:00Z..2026-01-01T10:00:00Z Open"]
        );
    }

    #[test]
    fn a_settled_window_rests_and_an_unsettled_one_is_read_again() {
        let mut two_days = daily();
        two_days.lateness = Span::parse("2 days").expect("a span");
        let first = window("2026-01-01", "2026-01-02");
        let settled = entry(first, State::Settled, first.end(), at("2026-01-04"));
        let second = window("2026-01-02", "2026-01-03");
        let unsettled = entry(second, State::Complete, second.end(), at("2026-01-04"));
        let third = window("2026-01-03", "2026-01-04");
        let open =
            entry(third, State::Complete, at("2026-01-03T08:00:00Z"), at("2026-01-03T08:00:00Z"));
        let ledger = [settled, unsettled, open];
        let tasks = plan_text(&two_days, &ledger, "2026-01-04T12:00:00Z");
        assert_eq!(
            tasks,
            [
                "2026-01-03..2026-01-04 asks 2026-01-01..2026-01-04 Open",
                "2026-01-04..2026-01-05 asks 2026-01-02..2026-01-05 Open",
                "2026-01-02..2026-01-03 asks 2026-01-01..2026-01-03 Refresh",
            ]
        );
        let mut rested = two_days;
        rested.refresh = Some(Span::parse("1 day").expect("a span"));
        let tasks = plan_text(&rested, &ledger, "2026-01-04T12:00:00Z");
        assert!(!tasks.iter().any(|task| task.contains("Refresh")), "{tasks:?}");
    }

    #[test]
    fn what_another_request_has_fetched_comes_after_what_is_pending_and_newest_first() {
        let read = |day: &str, outdated: bool| {
            let start = at(day);
            let day = Window::new(start, start + chrono::TimeDelta::days(1)).expect("a day");
            Entry { outdated, ..entry(day, State::Settled, day.end(), at("2026-01-20")) }
        };
        let ledger = [
            read("2026-01-01", true),
            read("2026-01-02", false),
            read("2026-01-03", true),
            Entry { state: State::Complete, ..read("2026-01-04", false) },
        ];
        let mut rules = daily();
        rules.lateness = Span::parse("30 days").expect("a span");
        let settled = |entry: &Entry| Entry { state: State::Settled, ..entry.clone() };
        let ledger: Vec<Entry> =
            ledger[..3].iter().map(settled).chain([ledger[3].clone()]).collect();
        let tasks = plan_text(&rules, &ledger, "2026-01-05T12:00:00Z");
        let reasons: Vec<String> = (tasks.iter())
            .map(|task| format!("{} {}", &task[..10], task.split(' ').next_back().expect("it")))
            .collect();
        let last = &reasons[reasons.len() - 2..];
        assert_eq!(last, ["2026-01-03 Outdated", "2026-01-01 Outdated"], "{reasons:?}");
        assert_eq!(reasons[0], "2026-01-05 Open");
    }

    #[test]
    fn a_longer_lateness_unsettles_what_was_settled_under_a_shorter_one() {
        let day = window("2026-01-01", "2026-01-02");
        let settled = entry(day, State::Settled, day.end(), at("2026-01-05"));
        let mut rules = rules("1 day", Bounds::ClosedOpen, "%Y-%m-%d", Tz::UTC);
        rules.lateness = Span::parse("3 days").expect("a span");
        assert!(is_settled(&settled, &rules, day.start()));
        rules.lateness = Span::parse("4 days").expect("a span");
        assert!(!is_settled(&settled, &rules, day.start()));
    }

    #[test]
    fn a_piece_of_a_step_settles_with_its_step() {
        let morning = window("2026-01-01", "2026-01-01T12:00:00Z");
        let read_at = |requested_at| entry(morning, State::Complete, morning.end(), requested_at);
        let mut rules = rules("1 day", Bounds::ClosedOpen, "rfc3339", Tz::UTC);
        rules.lateness = Span::parse("6 hours").expect("a span");
        let start = at("2026-01-01");
        assert!(!is_settled(&read_at(at("2026-01-01T20:00:00Z")), &rules, start));
        assert!(is_settled(&read_at(at("2026-01-02T06:00:00Z")), &rules, start));
    }

    #[test]
    fn newest_first_turns_the_order_round() {
        let mut rules = daily();
        rules.order = Order::Newest;
        let tasks = plan_text(&rules, &[], "2026-01-03T10:00:00Z");
        assert!(tasks[0].starts_with("2026-01-03") && tasks[2].starts_with("2026-01-01"));
    }

    #[test]
    fn a_hole_in_the_middle_stays_due_whatever_came_after() {
        let mut rules = daily();
        rules.lateness = Span::ZERO;
        let done = |day: &str, end: &str| {
            let window = window(day, end);
            entry(window, State::Settled, window.end(), window.end())
        };
        let ledger = [done("2026-01-01", "2026-01-02"), done("2026-01-03", "2026-01-04")];
        let tasks = plan_text(&rules, &ledger, "2026-01-04T10:00:00Z");
        assert_eq!(
            tasks,
            [
                "2026-01-02..2026-01-03 asks 2026-01-01..2026-01-03 Pending",
                "2026-01-04..2026-01-05 asks 2026-01-02..2026-01-05 Open",
            ]
        );
    }

    #[test]
    fn a_clock_that_once_ran_ahead_settles_nothing() {
        let day = window("2026-01-01", "2026-01-02");
        let ahead = entry(day, State::Settled, day.end(), at("2026-03-01"));
        let tasks = plan_text(&daily(), &[ahead], "2026-01-02T10:00:00Z");
        assert!(
            tasks.contains(&"2026-01-01..2026-01-02 asks 2026-01-01..2026-01-02 Refresh".into())
        );
    }

    #[test]
    fn what_failed_before_comes_last() {
        let first = window("2026-01-01", "2026-01-02");
        let mut broken = entry(first, State::Partial, first.end(), at("2026-01-02"));
        broken.failed = true;
        let second = window("2026-01-02", "2026-01-03");
        let begun = entry(second, State::Partial, second.end(), at("2026-01-02"));
        let third = window("2026-01-03", "2026-01-04");
        let truncated = entry(third, State::Truncated, third.end(), at("2026-01-02"));
        let tasks = plan_text(&daily(), &[broken, begun, truncated], "2026-01-04T10:00:00Z");
        let days: Vec<&str> = tasks.iter().map(|task| &task[..10]).collect();
        assert_eq!(days, ["2026-01-02", "2026-01-04", "2026-01-01", "2026-01-03"]);
    }

    #[test]
    fn a_longer_step_reads_only_what_the_ledger_does_not_prove() {
        let mut monthly = daily();
        monthly.step = Span::parse("1 month").expect("a span");
        monthly.lateness = Span::ZERO;
        let known = window("2026-01-01", "2026-01-11");
        let ledger = [entry(known, State::Settled, known.end(), at("2026-01-20"))];
        let tasks = plan_text(&monthly, &ledger, "2026-02-10T00:00:00Z");
        assert_eq!(
            tasks,
            [
                "2026-01-11..2026-02-01 asks 2026-01-09..2026-02-01 Pending",
                "2026-02-01..2026-03-01 asks 2026-01-30..2026-02-10 Open",
            ]
        );
    }

    #[test]
    fn a_shorter_step_reads_an_unsettled_long_window_in_its_own_pieces() {
        let month = window("2026-01-01", "2026-02-01");
        let ledger =
            [entry(month, State::Complete, at("2026-01-03T12:00:00Z"), at("2026-01-03T12:00:00Z"))];
        let mut weekly = daily();
        weekly.step = Span::parse("7 days").expect("a span");
        let tasks = plan_text(&weekly, &ledger, "2026-01-10T00:00:00Z");
        assert_eq!(tasks.len(), 2, "{tasks:?}");
        assert!(tasks[0].starts_with("2026-01-01..2026-01-08 "));
        assert!(tasks[1].starts_with("2026-01-08..2026-01-15 asks 2026-01-06..2026-01-10"));
    }

    #[test]
    fn a_request_is_never_longer_than_the_api_takes() {
        let mut rules = daily();
        rules.step = Span::parse("1 month").expect("a span");
        rules.max_span = Some(Span::parse("10 days").expect("a span"));
        let plan = WindowPlan {
            rules: &rules,
            start: at("2026-01-01"),
            now: at("2026-03-01"),
            range: None,
        };
        let tasks = plan_windows(&plan, &[]);
        let coverage = Coverage::of(tasks.iter().map(|task| task.window));
        assert!(coverage.covers(window("2026-01-01", "2026-03-01")));
        for task in &tasks {
            let length = task.asked.end() - task.asked.start();
            assert!(length <= chrono::TimeDelta::days(10), "{}", task.asked);
        }
    }

    #[test]
    fn a_range_that_is_asked_for_is_read_whatever_its_state_even_before_the_start() {
        let first = window("2026-01-01", "2026-01-02");
        let ledger = [entry(first, State::Settled, first.end(), at("2026-02-01"))];
        let rules = daily();
        let range = Some(window("2025-12-31", "2026-01-03"));
        let plan =
            WindowPlan { rules: &rules, start: at("2026-01-01"), now: at("2026-01-20"), range };
        let tasks = plan_windows(&plan, &ledger);
        let windows: Vec<String> = tasks.iter().map(|task| task.window.to_string()).collect();
        assert_eq!(
            windows,
            ["2025-12-31..2026-01-01", "2026-01-01..2026-01-02", "2026-01-02..2026-01-03"]
        );
        assert!(tasks.iter().all(|task| task.reason == Reason::Asked));
    }

    #[test]
    fn a_window_is_halved_until_it_is_one_tick_long() {
        let rules = daily();
        let (first, second) = halve(window("2026-01-01", "2026-01-04"), &rules).expect("halves");
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("2026-01-01..2026-01-02".to_owned(), "2026-01-02..2026-01-04".to_owned())
        );
        assert_eq!(halve(first, &rules), None);
    }

    /// Around both changes of the clocks, whichever of two instants the API takes a text for.
    #[test]
    fn nothing_is_lost_in_an_hour_that_comes_twice() {
        use chrono::TimeZone;
        let zone = chrono_tz::Europe::Berlin;
        for bounds in
            [Bounds::ClosedOpen, Bounds::ClosedClosed, Bounds::OpenClosed, Bounds::OpenOpen]
        {
            for asks_for_end in [true, false] {
                let mut rules = rules("1 day", bounds, "%Y-%m-%d %H:%M", zone);
                rules.asks_for_end = asks_for_end;
                let (from, to) = (at("2026-10-24T22:00:00Z"), at("2026-10-25T05:00:00Z"));
                let plan = WindowPlan { rules: &rules, start: from, now: to, range: None };
                let ticks = (0..28).map(|n| from + chrono::TimeDelta::minutes(15 * n));
                for piece in ticks
                    .filter_map(|tick| Window::new(tick, tick + chrono::TimeDelta::minutes(15)))
                {
                    let asked = asked_range(&plan, piece, Span::ZERO).expect("a range");
                    let texts = crate::window::render_bounds(asked, &rules).expect("in range");
                    for late in [false, true] {
                        let read = |text: &str| {
                            let local =
                                chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M");
                            let found = zone.from_local_datetime(&local.expect("a time"));
                            let found = if late { found.latest() } else { found.earliest() };
                            found.expect("a local time that is").to_utc()
                        };
                        let (start, end) = (read(&texts.start), read(&texts.end));
                        for minute in 0..15 {
                            let tick = piece.start() + chrono::TimeDelta::minutes(minute);
                            let after =
                                start < tick || rules_include_start(bounds) && start == tick;
                            let before = tick < end || rules_include_end(bounds) && tick == end;
                            assert!(after && before, "{tick} {bounds:?} {texts:?} {late}");
                        }
                    }
                }
            }
        }
    }

    fn rules_include_start(bounds: Bounds) -> bool {
        matches!(bounds, Bounds::ClosedOpen | Bounds::ClosedClosed)
    }

    fn rules_include_end(bounds: Bounds) -> bool {
        matches!(bounds, Bounds::ClosedClosed | Bounds::OpenClosed)
    }

    proptest! {
        #[test]
        fn what_is_planned_and_what_is_known_cover_the_line_up_to_the_open_window(
            parts in prop::collection::vec((0_i64..60, 1_i64..20, 0_u8..4), 0..8),
            now in 1_i64..60,
            step in prop::sample::select(vec!["1 day", "1 month", "7 days", "3 days"]),
        ) {
            let mut rules = daily();
            rules.step = Span::parse(step).expect("a step");
            let start = at("2026-01-01");
            let day = |n: i64| start + chrono::TimeDelta::days(n);
            let ledger: Vec<Entry> = parts.iter().map(|(from, length, state)| {
                let window = Window::new(day(*from), day(from + length)).expect("not empty");
                let states = [State::Partial, State::Complete, State::Settled, State::Truncated];
                entry(window, states[usize::from(*state)], window.end(), day(59))
            }).collect();
            let now = day(now) + chrono::TimeDelta::hours(5);
            let plan = WindowPlan { rules: &rules, start, now, range: None };
            let tasks = plan_windows(&plan, &ledger);
            let known = ledger.iter()
                .filter(|entry| matches!(entry.state, State::Complete | State::Settled))
                .filter_map(|entry| entry.window);
            let coverage = Coverage::of(known.chain(tasks.iter().map(|task| task.window)));
            prop_assert!(coverage.covers(Window::new(start, now).expect("not empty")));
            for task in &tasks {
                prop_assert!(task.asked.start() <= task.window.start());
                prop_assert!(task.asked.end() <= now + chrono::TimeDelta::days(1));
            }
        }
    }
}
