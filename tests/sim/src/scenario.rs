//! What a seed draws: the definition, the shape of the API, and which kinds of fault there are.
//!
//! Whole classes of faults are on or off (swarm testing): a run in which everything fails at once
//! hides what a run with one rare fault shows.

use chrono::{Datelike, Days, Months, NaiveDate, TimeZone};
use chrono_tz::Tz;

use crate::quirk::Quirk;

/// Milliseconds.
pub const SECOND: i64 = 1_000;
/// Milliseconds.
pub const HOUR: i64 = 3_600 * SECOND;
/// Milliseconds, where no clock is changed.
pub const DAY: i64 = 24 * HOUR;

/// The secret of every simulated source; it must turn up nowhere.
pub const CANARY: &str = "canary-7f3e91-SECRET";

/// How the stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A grid in time.
    Window,
    /// The whole collection.
    Snapshot,
    /// Changed since a mark.
    Cursor,
}

/// The length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Elapsed hours.
    Hours(i64),
    /// Calendar days.
    Days(u64),
    /// Calendar months.
    Months(u32),
}

/// How bounds and marks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2026-03-01`, local to the stream's zone.
    Date,
    /// RFC 3339, whole seconds.
    Rfc3339,
    /// Seconds.
    Unix,
    /// Milliseconds.
    UnixMillis,
}

/// How the API pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Not at all.
    None,
    /// By number.
    Page,
    /// By offset.
    Offset,
    /// By a token in the body.
    Token,
    /// By a token in a header.
    HeaderToken,
    /// By the last record's id.
    LastId,
    /// By `Link`.
    Link,
    /// By an address in the body.
    NextUrl,
}

/// How the API counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Not at all.
    None,
    /// In the body.
    Body,
    /// In a header.
    Header,
    /// At an address of its own.
    Endpoint,
}

/// Where the secret goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header of the API's own.
    Header,
    /// A parameter.
    Query,
}

/// Kinds of fault that are on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes {
    /// Refused, silent and cut connections.
    pub network: bool,
    /// 429 with `Retry-After`, 500, 503.
    pub throttling: bool,
    /// HTML, 511, JSON portals, errors with status 200, damaged JSON.
    pub portals: bool,
    /// Tokens that die, pages that vanish.
    pub tokens: bool,
    /// Links and redirects to another host.
    pub strangers: bool,
    /// Records that come and change while pages are read.
    pub churn: bool,
    /// Records that are deleted while pages are read.
    pub deletions: bool,
    /// Equal sort keys in another order each time.
    pub ties: bool,
    /// Old versions sent again beside new ones.
    pub resends: bool,
    /// Empty pages in the middle.
    pub empty_pages: bool,
    /// The power goes.
    pub power: bool,
    /// The process is killed.
    pub kills: bool,
    /// I/O errors and full disks.
    pub disk: bool,
    /// A person presses Ctrl-C.
    pub stops: bool,
    /// Runs with limits.
    pub budgets: bool,
    /// The laptop's clock is wrong.
    pub clocks: bool,
    /// Another program writes to the file.
    pub neighbours: bool,
}

/// Everything that a seed decides before the first run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How the stream is cut.
    pub kind: Kind,
    /// The zone of its days.
    pub zone: Tz,
    /// The length of a window.
    pub step: Step,
    /// How bounds are written; `Date` also means that a record's time is a date.
    pub format: Format,
    /// Whether the lower bound is included.
    pub lower_closed: bool,
    /// Whether the upper bound is included.
    pub upper_closed: bool,
    /// Hours.
    pub overlap_hours: i64,
    /// Hours.
    pub lateness_hours: i64,
    /// Newest first.
    pub newest: bool,
    /// How old an unsettled reading may get, hours.
    pub refresh_hours: Option<i64>,
    /// Where the API cuts a result.
    pub cap: Option<usize>,
    /// Whether the API refuses more than a step and its overlap.
    pub short_ranges: bool,
    /// How the API counts.
    pub total: Total,
    /// How the API pages.
    pub paging: Paging,
    /// Records on a page.
    pub page_size: usize,
    /// Whether the definition says the size.
    pub sized: bool,
    /// Whether the API gives fewer records to a page than it is asked for.
    pub short_pages: bool,
    /// Whether the API says that there is more.
    pub says_more: bool,
    /// Whether rows have a version.
    pub version: bool,
    /// Parents; none means that the stream hangs off nothing.
    pub parents: usize,
    /// Where the secret goes.
    pub auth: Auth,
    /// Whether answers have a `Date`.
    pub dated: bool,
    /// Where each window begins, and the end of the last one, milliseconds since 1970.
    pub edges: Vec<i64>,
    /// How many windows lie before the first run.
    pub past: usize,
    /// Journalled or plain.
    pub plain_disk: bool,
    /// Runs with faults.
    pub runs: usize,
    /// Whether marks are numbers and not times.
    pub integer_marks: bool,
    /// Whether requests have a body in place of a query.
    pub post: bool,
    /// Whether replaced versions are kept.
    pub history: bool,
    /// Whether rows that the API no longer has are marked.
    pub missing: bool,
    /// Whether they are deleted in place of that.
    pub deletes: bool,
    /// Whether the key is a hash.
    pub hashed: bool,
    /// Whether the definition has a column that the API never fills.
    pub noted: bool,
    /// What is not plain about the API.
    pub quirk: Quirk,
    /// Faults that are on.
    pub classes: Classes,
}

/// A coin that shows heads once in `n`.
pub fn once_in(random: &mut fastrand::Rng, n: u32) -> bool {
    random.u32(..n) == 0
}

impl Scenario {
    /// Draws everything.
    pub fn draw(seed: u64) -> Scenario {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x005e_ed0f_a11f_1e1d);
        let r = &mut random;
        let kind = match r.u32(..10) {
            0..7 => Kind::Window,
            7 => Kind::Snapshot,
            _ => Kind::Cursor,
        };
        let format = match (kind, r.u32(..5)) {
            (Kind::Window, 0 | 1) => Format::Date,
            (_, 2) => Format::Unix,
            (_, 3) => Format::UnixMillis,
            _ => Format::Rfc3339,
        };
        let zone = match r.u32(..3) {
            0 => chrono_tz::Europe::Berlin,
            1 => chrono_tz::America::New_York,
            _ => chrono_tz::UTC,
        };
        let step = match (format, r.u32(..4)) {
            (Format::Date, 3) => Step::Months(1),
            (Format::Date, n) => Step::Days([1, 2, 7][n as usize]),
            (_, 0) => Step::Hours(1),
            (_, 1) => Step::Hours(6),
            (_, 2) => Step::Days(1),
            _ => Step::Days(3),
        };
        let mut paging = [
            Paging::None,
            Paging::Page,
            Paging::Offset,
            Paging::Token,
            Paging::HeaderToken,
            Paging::Link,
            Paging::NextUrl,
            Paging::LastId,
        ][r.usize(..8)];
        if kind == Kind::Cursor && paging == Paging::LastId {
            paging = Paging::Token;
        }
        let total =
            [Total::None, Total::Body, Total::Header, Total::Endpoint, Total::None][r.usize(..5)];
        let cap = (kind == Kind::Window && format != Format::Date && once_in(r, 5))
            .then(|| r.usize(6..12));
        let past = r.usize(3..9);
        let edges = edges(step, zone, past + 14, r);
        let parents = if once_in(r, 5) { r.usize(1..4) } else { 0 };
        let (says_more, sized) = (once_in(r, 3), r.bool());
        let mut scenario = Scenario {
            seed,
            kind,
            zone,
            step,
            format,
            lower_closed: r.bool(),
            upper_closed: r.bool(),
            overlap_hours: overlap(step, r),
            lateness_hours: if r.bool() { lateness(step, r) } else { 0 },
            newest: once_in(r, 3),
            refresh_hours: once_in(r, 4).then(|| r.i64(1..24)),
            cap,
            short_ranges: once_in(r, 6),
            total: if cap.is_some() { Total::None } else { total },
            paging,
            page_size: r.usize(1..8),
            sized,
            short_pages: once_in(r, 4),
            says_more,
            version: r.bool(),
            parents,
            auth: [Auth::Bearer, Auth::Header, Auth::Query][r.usize(..3)],
            dated: !once_in(r, 6),
            edges,
            past,
            plain_disk: r.bool(),
            runs: r.usize(2..7),
            integer_marks: false,
            post: false,
            history: false,
            missing: false,
            deletes: false,
            hashed: false,
            noted: false,
            quirk: Quirk::None,
            classes: Classes::default(),
        };
        scenario.classes = scenario.draw_classes(r);
        scenario.vary();
        scenario
    }

    /// Draws what three laptops of this seed have: the same, and more of what merges differ in.
    pub fn draw_for_laptops(seed: u64) -> Scenario {
        let mut scenario = Scenario::draw(seed);
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0001_a970_b5ed);
        scenario.hashed = once_in(&mut random, 3);
        scenario.history |= once_in(&mut random, 3);
        if scenario.kind != Kind::Cursor && once_in(&mut random, 3) {
            scenario.missing = true;
            scenario.deletes = true;
            scenario.classes.deletions |= scenario.cap.is_none();
        }
        if scenario.parents == 0 && once_in(&mut random, 6) {
            scenario.parents = random.usize(1..4);
        }
        scenario
    }

    /// Kinds of request and mark that came later than the first seeds, drawn by themselves so that
    /// those stay what they were.
    fn vary(&mut self) {
        self.history = matches!(self.seed % 8, 1 | 5);
        self.missing = matches!(self.seed % 8, 5 | 6) && self.kind != Kind::Cursor;
        self.classes.deletions |= self.missing && self.cap.is_none();
        if self.seed % 8 != 3 {
            return;
        }
        let mut random = fastrand::Rng::with_seed(self.seed ^ 0x905f);
        self.integer_marks = self.kind == Kind::Cursor && random.bool();
        let linked = matches!(self.paging, Paging::Link | Paging::NextUrl);
        self.post = !linked && self.total != Total::Endpoint && random.u8(..3) > 0;
    }

    fn draw_classes(&self, r: &mut fastrand::Rng) -> Classes {
        let counted = self.is_counted();
        let tokens = matches!(
            self.paging,
            Paging::Token | Paging::HeaderToken | Paging::Link | Paging::NextUrl
        );
        Classes {
            network: r.bool(),
            throttling: r.bool(),
            portals: r.bool(),
            tokens: r.bool() && tokens,
            strangers: once_in(r, 4),
            // Under a silent cap a record that comes hides another one, and nothing tells.
            churn: r.bool() && self.cap.is_none(),
            deletions: once_in(r, 3) && self.cap.is_none(),
            ties: once_in(r, 4) && counted,
            resends: once_in(r, 3)
                && self.version
                && !counted
                && self.cap.is_none()
                && self.paging != Paging::LastId,
            empty_pages: r.bool() && tokens,
            power: r.bool(),
            kills: r.bool(),
            disk: once_in(r, 3),
            stops: once_in(r, 3),
            budgets: once_in(r, 3),
            clocks: once_in(r, 3),
            neighbours: once_in(r, 3),
        }
    }

    /// Whether pages are found by counting.
    pub fn is_counted(&self) -> bool {
        matches!(self.paging, Paging::Page | Paging::Offset)
    }

    /// Records that the API puts on a page.
    pub fn given_size(&self) -> usize {
        if self.short_pages { self.page_size.div_ceil(2) } else { self.page_size }
    }

    /// The first instant that the API tells apart from another, milliseconds.
    pub fn tick(&self) -> i64 {
        if self.format == Format::UnixMillis { 1 } else { SECOND }
    }

    /// The window of an instant.
    pub fn cell(&self, at: i64) -> Option<(i64, i64)> {
        let next = self.edges.partition_point(|edge| *edge <= at);
        (next > 0 && next < self.edges.len()).then(|| (self.edges[next - 1], self.edges[next]))
    }

    /// Until when a record of that time must be visible so that it cannot be missed: the window
    /// that still asks for it, and its lateness. Calendar days may be an hour short.
    pub fn deadline(&self, at: i64) -> i64 {
        let sure = |hours: i64| if hours > 12 { hours * HOUR - HOUR } else { hours * HOUR };
        let reach = self.cell(at + sure(self.overlap_hours)).or_else(|| self.cell(at));
        reach.map_or(at, |(_, end)| end) + sure(self.lateness_hours)
    }

    /// A local date of an instant.
    pub fn date(&self, at: i64) -> NaiveDate {
        instant(at).with_timezone(&self.zone).date_naive()
    }

    /// The definition.
    pub fn toml(&self, archive: &str) -> String {
        let mut text = format!(
            "[archive]\npath = \"{archive}\"\n\n[sources.s]\n\
             base_url = \"https://api.example.com/v1\"\nauth = {}\n\
             retry = {{ base = \"1 second\", attempts = 4 }}\n",
            match self.auth {
                Auth::Bearer => "{ kind = \"bearer\", token = \"${env:TOKEN}\" }",
                Auth::Header =>
                    "{ kind = \"header\", name = \"X-Api-Key\", value = \"${env:TOKEN}\" }",
                Auth::Query => "{ kind = \"query\", name = \"api_key\", value = \"${env:TOKEN}\" }",
            }
        );
        if self.parents > 0 {
            text.push_str(
                "\n[streams.lines]\npath = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"line\"\n\
                 columns = { line = \"text\" }\n",
            );
        }
        text.push_str("\n[streams.records]\npath = \"/records\"\nrecords = \"$.data[*]\"\n");
        let key = if self.hashed { "{ hash = [\"id\"] }" } else { "\"id\"" };
        text.push_str(&format!("key = {key}\n"));
        text.push_str(&self.stream_keys());
        text.push_str(&self.kind_table());
        text.push_str(&self.paginate_table());
        let at = if self.format == Format::Date { "date" } else { "timestamp" };
        let seq = if self.integer_marks { "seq = \"integer\"\n" } else { "" };
        let line =
            if self.parents > 0 { "line = { type = \"text\", parent = \"line\" }\n" } else { "" };
        let note = if self.noted { "note = \"text\"\n" } else { "" };
        let at = match self.quirk {
            Quirk::LocalTimes if self.format != Format::Date => {
                format!("{{ type = \"{at}\", timezone = \"{}\" }}", self.zone.name())
            }
            _ => format!("\"{at}\""),
        };
        text.push_str(&format!(
            "\n[streams.records.columns]\nid = \"integer\"\nat = {at}\n\
             value = \"integer\"\nupdated_at = \"timestamp\"\n{seq}{line}{note}"
        ));
        text
    }

    fn stream_keys(&self) -> String {
        let mut text = String::new();
        let mut query = Vec::new();
        match self.kind {
            Kind::Window => {
                query.push("from = \"{{ window.start }}\"");
                query.push("to = \"{{ window.end }}\"");
            }
            Kind::Cursor => query.push("since = \"{{ cursor }}\""),
            Kind::Snapshot => {}
        }
        if self.parents > 0 {
            text.push_str("for_each = \"lines\"\nreferences = { line = \"lines\" }\n");
            query.push("line = \"{{ parent.line }}\"");
        }
        let parameters = if self.post { "method = \"POST\"\nbody" } else { "query" };
        if !query.is_empty() {
            text.push_str(&format!("{parameters} = {{ {} }}\n", query.join(", ")));
        } else if self.post {
            text.push_str("method = \"POST\"\n");
        }
        if self.version {
            text.push_str("version = \"updated_at\"\n");
        }
        text.push_str(&self.nothing_keys());
        match self.total {
            Total::Body | Total::Header if matches!(self.quirk, Quirk::CappedTotal { .. }) => {
                text.push_str(&self.capped_total());
            }
            Total::None => {}
            Total::Body => text.push_str("total = \"$.total\"\n"),
            Total::Header => text.push_str("total = { header = \"X-Total\" }\n"),
            Total::Endpoint => {
                text.push_str("total = { endpoint = \"/count\", value = \"$.count\" }\n");
            }
        }
        if let Some(cap) = self.cap {
            text.push_str(&format!("max_records = {cap}\n"));
        }
        if self.history {
            text.push_str("history = true\n");
        }
        if self.missing {
            let what = if self.deletes { "delete" } else { "mark" };
            text.push_str(&format!("missing = \"{what}\"\nmissing_ratio_max = 1.0\n"));
        }
        text
    }

    /// A total that stops at a number, as the definition has it.
    fn capped_total(&self) -> String {
        let place = match self.total {
            Total::Header => "header = \"X-Total\"",
            _ => "path = \"$.total\"",
        };
        match self.quirk {
            Quirk::CappedTotal { most, declared: true } => {
                format!("total = {{ {place}, cap = {most} }}\n")
            }
            _ => format!("total = {{ {place} }}\n"),
        }
    }

    fn kind_table(&self) -> String {
        let format = match self.format {
            Format::Date => "%Y-%m-%d",
            Format::Rfc3339 => "rfc3339",
            Format::Unix => "unix",
            Format::UnixMillis => "unix_ms",
        };
        let refresh = self.refresh_hours.map(|hours| format!("refresh = \"{hours} hours\"\n"));
        let overlap = match self.overlap_hours {
            0 => String::new(),
            hours => format!("overlap = \"{}\"\n", span(hours)),
        };
        let start = instant(self.edges[0]).to_rfc3339();
        match self.kind {
            Kind::Snapshot => String::new(),
            Kind::Cursor if self.integer_marks => format!(
                "\n[streams.records.cursor]\nfield = \"seq\"\nstart = {}\noverlap = {}\n",
                self.edges[0],
                self.overlap_hours * HOUR
            ),
            Kind::Cursor => format!(
                "\n[streams.records.cursor]\nfield = \"updated_at\"\nstart = \"{start}\"\n\
                 format = \"{format}\"\n{overlap}"
            ),
            Kind::Window => {
                let step = match self.step {
                    Step::Hours(hours) => format!("{hours} hours"),
                    Step::Days(days) => format!("{days} days"),
                    Step::Months(months) => format!("{months} months"),
                };
                let (lower, upper) = (self.lower_closed, self.upper_closed);
                let mut text = format!(
                    "\n[streams.records.window]\nfield = \"at\"\nstart = \"{start}\"\n\
                     step = \"{step}\"\ntimezone = \"{}\"\nformat = \"{format}\"\n\
                     bounds = \"{}{}\"\norder = \"{}\"\n{overlap}",
                    self.zone.name(),
                    if lower { "[" } else { "(" },
                    if upper { "]" } else { ")" },
                    if self.newest { "newest" } else { "oldest" },
                );
                if self.lateness_hours > 0 {
                    text.push_str(&format!("lateness = \"{}\"\n", span(self.lateness_hours)));
                }
                text.push_str(&refresh.unwrap_or_default());
                if self.short_ranges {
                    text.push_str(&format!("max_span = \"{}\"\n", span(self.span_hours())));
                }
                text
            }
        }
    }

    /// The longest range that the API takes, hours.
    pub fn span_hours(&self) -> i64 {
        let step = match self.step {
            Step::Hours(hours) => hours,
            Step::Days(days) => days.cast_signed() * 24,
            Step::Months(_) => 31 * 24,
        };
        // A step with its overlap; an excluded bound is written a day earlier.
        let written = if self.format == Format::Date && !self.lower_closed { 24 } else { 0 };
        step + self.overlap_hours + written
    }

    fn paginate_table(&self) -> String {
        if let Some(keys) = self.unfollowed_table() {
            let head = if keys.is_empty() { "" } else { "\n[streams.records.paginate]\n" };
            return format!("{head}{keys}");
        }
        let end = if self.quirk == Quirk::ShortEnd { "end = \"short_page\"\n" } else { "" };
        let more = if self.says_more { "more = \"$.more\"\n" } else { "" };
        let size = if self.sized {
            format!("size = {}\nsize_param = \"limit\"\n", self.page_size)
        } else {
            String::new()
        };
        let keys = match self.paging {
            Paging::None => return String::new(),
            Paging::Page => format!("kind = \"page\"\n{size}{more}{end}"),
            Paging::Offset => format!("kind = \"offset\"\n{size}{more}{end}"),
            Paging::Token if self.post => {
                format!("kind = \"cursor\"\nnext = \"$.next\"\nbody = \"cursor\"\n{more}")
            }
            Paging::Token => format!("kind = \"cursor\"\nnext = \"$.next\"\n{more}"),
            Paging::HeaderToken => format!("kind = \"cursor\"\nheader = \"X-Next\"\n{more}"),
            Paging::LastId => {
                format!("kind = \"cursor\"\nfield = \"id\"\nparam = \"after\"\n{more}")
            }
            Paging::Link => "kind = \"link\"\n".to_owned(),
            Paging::NextUrl => "kind = \"next_url\"\nnext = \"$.next\"\n".to_owned(),
        };
        format!("\n[streams.records.paginate]\n{keys}")
    }
}

fn span(hours: i64) -> String {
    if hours % 24 == 0 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

fn overlap(step: Step, r: &mut fastrand::Rng) -> i64 {
    match step {
        _ if r.bool() => 0,
        Step::Hours(hours) => hours * r.i64(1..3),
        _ => 24 * r.i64(1..3),
    }
}

fn lateness(step: Step, r: &mut fastrand::Rng) -> i64 {
    match step {
        Step::Hours(hours) => hours * r.i64(1..4),
        _ => 24 * r.i64(1..5),
    }
}

/// An instant of milliseconds.
pub fn instant(at: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(at).expect("a time of this century")
}

/// The edges of the grid, by chrono's own calendar and not by windrow's. It lies over the days on
/// which clocks change.
fn edges(step: Step, zone: Tz, count: usize, r: &mut fastrand::Rng) -> Vec<i64> {
    let first = NaiveDate::from_ymd_opt(2026, 3, 1).expect("a date");
    let midnight = |date: NaiveDate| {
        let local = date.and_hms_opt(0, 0, 0).expect("midnight");
        zone.from_local_datetime(&local).earliest().expect("midnight is there").timestamp_millis()
    };
    match step {
        Step::Hours(hours) => {
            let day = first + Days::new(r.u64(0..28));
            let start = midnight(day);
            (0..=count).map(|n| start + n as i64 * hours * HOUR).collect()
        }
        Step::Days(days) => {
            let day = first + Days::new(r.u64(0..26));
            (0..=count as u64).map(|n| midnight(day + Days::new(n * days))).collect()
        }
        Step::Months(months) => {
            let day = first.with_day(1).expect("the first") - Months::new(r.u32(0..5));
            let nth = |n: u32| midnight(day + Months::new(n * months));
            (0..=u32::try_from(count).expect("few")).map(nth).collect()
        }
    }
}
