//! Numbers as people read them.

use chrono::TimeDelta;

/// A number with commas between thousands: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2,000 rows`.
pub fn many(number: u64, noun: &str) -> String {
    let ending = match number {
        1 => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", count(number))
}

/// `1 row is`, `2,000 rows are`.
pub fn many_are(number: u64, noun: &str) -> String {
    format!("{} {}", many(number, noun), inflect(number, "is", "are"))
}

/// The form of a verb or a word for one thing, or for another number of them.
pub fn inflect<'w>(number: u64, one: &'w str, others: &'w str) -> &'w str {
    if number == 1 { one } else { others }
}

/// A size: `1.2 MiB`.
pub fn bytes(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut size = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A length of time: `350 ms`, `2.5 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(millis: u64) -> String {
    let (tenths, seconds) = (millis / 100, millis / 1_000);
    match seconds {
        0 => format!("{millis} ms"),
        1..60 if tenths % 10 == 0 => format!("{seconds} s"),
        1..60 => format!("{}.{} s", seconds, tenths % 10),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", count(seconds / 3600), seconds % 3600 / 60),
    }
}

/// How long ago: `5 minutes ago`.
pub fn ago(age: TimeDelta) -> String {
    let seconds = age.num_seconds();
    let (number, unit) = match seconds {
        ..0 => return "in the future: check the clock".to_owned(),
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_ages_are_words() {
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1,000".into()));
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!((many(1, "row"), many_are(2, "row")), ("1 row".into(), "2 rows are".into()));
        assert_eq!(many_are(1, "row"), "1 row is");
        assert_eq!([0, 1, 2].map(|n| inflect(n, "was", "were")), ["were", "was", "were"]);
        assert_eq!(
            (many(2, "fetch"), many(1, "new row")),
            ("2 fetches".into(), "1 new row".into())
        );
        assert_eq!((bytes(12), bytes(1536)), ("12 B".into(), "1.5 KiB".into()));
        let lengths = [0, 350, 2_000, 2_590, 200_000, 7_500_000].map(duration);
        assert_eq!(lengths, ["0 ms", "350 ms", "2 s", "2.5 s", "3 min 20 s", "2 h 5 min"]);
        assert_eq!(ago(TimeDelta::minutes(1)), "1 minute ago");
        assert_eq!(ago(TimeDelta::days(3)), "3 days ago");
    }
}
