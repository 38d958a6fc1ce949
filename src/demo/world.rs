//! The world behind the demo's API: clients, plans, service lines, daily usage that arrives late
//! and is corrected. A function of the date, so that the truth can be asked at any time.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

/// A client and its plan, GB a month.
pub struct Client {
    pub id: &'static str,
    pub name: &'static str,
    /// The plan, GB a month.
    pub plan_gb: u32,
    /// The day of the month on which its billing cycle begins.
    pub cycle_day: u32,
}

/// The clients of the demonstration's API, each with another cycle day.
pub const CLIENTS: [Client; 4] = [
    Client { id: "C-1", name: "Aurora Shipping", plan_gb: 1000, cycle_day: 1 },
    Client { id: "C-2", name: "Borealis Mining", plan_gb: 1000, cycle_day: 8 },
    Client { id: "C-3", name: "Cirrus Rail", plan_gb: 1000, cycle_day: 15 },
    Client { id: "C-4", name: "Delta Relief", plan_gb: 1000, cycle_day: 22 },
];
/// Service lines of each client.
const LINES_PER_CLIENT: usize = 3;

/// One line's usage on one day, as the API knows it at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoUsage {
    pub line: String,
    pub client: &'static str,
    pub date: NaiveDate,
    /// The usage, thousandths of a GB, so that sums are exact.
    pub milli_gb: u64,
    /// When the API last changed it.
    pub updated_at: DateTime<Utc>,
}

/// The service lines: id and client.
pub fn lines() -> impl Iterator<Item = (String, &'static Client)> {
    CLIENTS.iter().enumerate().flat_map(|(at, client)| {
        (1..=LINES_PER_CLIENT).map(move |n| (format!("SL-{}0{n}", at + 1), client))
    })
}

/// A number that looks random and is always the same.
fn mix(line: &str, date: NaiveDate, salt: u64) -> u64 {
    let text = format!("{line}{date}{salt}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}

/// What the API knows at `now` of the days from `from` up to, without, `until`; newest first.
/// Days after `held_back` of a line that reports late are not there yet.
pub fn usage(from: NaiveDate, until: NaiveDate, now: DateTime<Utc>) -> Vec<DemoUsage> {
    let mut found = Vec::new();
    let days = std::iter::successors(Some(from), |day| day.checked_add_days(Days::new(1)));
    for date in days.take_while(|day| *day < until) {
        let end_of_day = date.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1);
        for (line, client) in lines() {
            // One day in nine arrives up to a week late, one in seven is corrected days later.
            let late = mix(&line, date, 1).is_multiple_of(9);
            let delay = if late { 24 + mix(&line, date, 2) % 140 } else { 3 };
            let first = end_of_day + hours(delay);
            if first > now {
                continue;
            }
            let corrected = first + hours(48 + mix(&line, date, 3) % 150);
            let is_corrected = mix(&line, date, 4).is_multiple_of(7) && corrected <= now;
            let milli_gb = 8_000 + mix(&line, date, 5) % 4_500;
            found.push(DemoUsage {
                line,
                client: client.id,
                date,
                milli_gb: if is_corrected { milli_gb + 750 } else { milli_gb },
                updated_at: if is_corrected { corrected } else { first },
            });
        }
    }
    found.sort_by(|a, b| (b.date, &b.line).cmp(&(a.date, &a.line)));
    found
}

fn hours(count: u64) -> TimeDelta {
    TimeDelta::hours(i64::try_from(count).unwrap_or(0))
}

/// The first day of the client's billing cycle that is `back` cycles before the one of `today`.
pub fn cycle_start(client: &Client, today: NaiveDate, back: u32) -> NaiveDate {
    use chrono::Datelike;
    let this_month = today.with_day(client.cycle_day).unwrap_or(today);
    let current = if this_month <= today {
        this_month
    } else {
        this_month.checked_sub_months(chrono::Months::new(1)).unwrap_or(this_month)
    };
    current.checked_sub_months(chrono::Months::new(back)).unwrap_or(current)
}

/// `12345` thousandths as `12.345`.
pub fn gb(milli: u64) -> String {
    format!("{}.{:03}", milli / 1000, milli % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_delivers_late_and_corrects() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let (from, until) = (day("2025-10-01"), day("2025-11-01"));
        let early = usage(from, until, at("2025-11-01T06:00:00Z"));
        let late = usage(from, until, at("2025-12-01T00:00:00Z"));
        assert_eq!(late.len(), 31 * 12);
        assert!(early.len() < late.len(), "some days arrive late");
        let changed = early.iter().filter(|row| !late.contains(row)).count();
        assert!(changed > 5, "some days are corrected: {changed}");
        let of_client = late.iter().filter(|row| row.client == "C-1").map(|row| row.milli_gb);
        let total: u64 = of_client.sum();
        assert!((850_000..1_000_000).contains(&total), "{total}");
    }

    #[test]
    fn billing_cycles_begin_on_the_clients_own_day() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        assert_eq!(cycle_start(&CLIENTS[2], day("2025-11-03"), 0), day("2025-10-15"));
        assert_eq!(cycle_start(&CLIENTS[2], day("2025-11-15"), 1), day("2025-10-15"));
    }
}
