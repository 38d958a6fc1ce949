//! `Prefer: wait=N` (RFC 7240, section 4.3): how long a program waits for an answer that is not
//! there yet.

use std::time::Duration;

/// The longest wait that is granted, seconds. A program that wants more asks again: proxies and
/// clients give up after a minute or two themselves.
pub(crate) const PREFER_WAIT_S_MAX: u64 = 60;

/// The wait that is asked for, and the other preferences, which are for the API.
pub(crate) fn preferences<'a>(
    headers: impl Iterator<Item = &'a str>,
) -> (Option<Duration>, Vec<String>) {
    let mut wait = None;
    let mut others = Vec::new();
    for preference in headers.flat_map(|header| header.split(',')).map(str::trim) {
        let (first, _) = preference.split_once(';').unwrap_or((preference, ""));
        let (name, value) = first.split_once('=').unwrap_or((first, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "" => {}
            // The first one counts, and one that cannot be read asks for nothing.
            "wait" => {
                wait = wait.or_else(|| value.trim().trim_matches('"').parse::<u64>().ok());
            }
            "respond-async" => {}
            _ => others.push(preference.to_owned()),
        }
    }
    (wait.map(|seconds| Duration::from_secs(seconds.min(PREFER_WAIT_S_MAX))), others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_and_other_preferences_go_on_to_the_api() {
        let cases: [(&[&str], Option<u64>, &[&str]); 8] = [
            (&[], None, &[]),
            (&["wait=5"], Some(5), &[]),
            (&["return=minimal, Wait = \"7\" ; x=y"], Some(7), &["return=minimal"]),
            (&["respond-async", "wait=1", "wait=9"], Some(1), &[]),
            (&["wait=999999999999"], Some(PREFER_WAIT_S_MAX), &[]),
            (&["wait=-1"], None, &[]),
            (&["wait"], None, &[]),
            (&["wait=0"], Some(0), &[]),
        ];
        for (headers, wait, others) in cases {
            let (have, rest) = preferences(headers.iter().copied());
            assert_eq!(have, wait.map(Duration::from_secs), "{headers:?}");
            assert_eq!(rest, others, "{headers:?}");
        }
    }
}
