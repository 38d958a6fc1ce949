//! The clock, the links, the proxies, and the way to each source.

use chrono::TimeDelta;
use url::Url;

use crate::http::{NetError, NetKind};
use crate::model::instant_to_text;

use super::facts::{AnswerFacts, Facts, SourceFacts, SourceReach};
use super::finding::{DoctorFinding, FaultArea};

/// 2025-01-01: before windrow was made, so that a clock which says so is wrong. A laptop whose
/// battery went flat wakes up in 1970 or in the year of its board.
const CLOCK_SECONDS_MIN: i64 = 1_735_689_600;
/// Two clocks may differ by so much: a certificate's dates and an API's signatures bear it.
const CLOCK_SKEW_MINUTES_MAX: i64 = 5;

const PORTAL_HELP: &str = "open the address in a browser: if that is the network's login page, \
                           log in there";
const OFFLINE: &str = "--offline";

/// Judges all that lies outside.
pub fn examine(facts: &Facts) -> Vec<DoctorFinding> {
    let mut findings = vec![clock(facts), links(facts)];
    findings.extend(proxies(&facts.proxies));
    if facts.sources.is_empty() {
        findings.push(DoctorFinding::skip("sources", "the definition names them"));
    }
    for source in &facts.sources {
        findings.extend([reached(source, facts.links_up), tls(source), clocks(source)]);
    }
    findings
}

fn clock(facts: &Facts) -> DoctorFinding {
    let now = instant_to_text(facts.now);
    if facts.now.timestamp() < CLOCK_SECONDS_MIN {
        let found = format!("the clock says {now}");
        let help =
            "set the clock: with this one no certificate can be trusted and no window is due";
        return DoctorFinding::bad("clock", FaultArea::Trust, found, help);
    }
    DoctorFinding::ok("clock", now)
}

/// A link that is down is only bad when nothing was reached: a source may be on this machine.
fn links(facts: &Facts) -> DoctorFinding {
    let name = "links";
    let answers = |source: &SourceFacts| matches!(source.reach, SourceReach::Answered(_));
    match facts.links_up {
        _ if facts.offline => DoctorFinding::skip(name, OFFLINE),
        None => DoctorFinding::skip(name, "this system does not tell"),
        Some(true) => DoctorFinding::ok(name, "a network interface is up"),
        Some(false) if facts.sources.iter().any(answers) => {
            DoctorFinding::ok(name, "no network interface is up, and a source answers all the same")
        }
        Some(false) => {
            let help = "connect to a network; windrow carries on where it was";
            DoctorFinding::bad(name, FaultArea::Offline, "no network interface is up", help)
        }
    }
}

fn proxies(proxies: &[(String, String)]) -> Vec<DoctorFinding> {
    if proxies.is_empty() {
        return vec![DoctorFinding::ok("proxy", "no variable names one")];
    }
    proxies.iter().map(|(name, value)| proxy(name, value)).collect()
}

fn proxy(variable: &str, value: &str) -> DoctorFinding {
    let name = format!("proxy {variable}");
    let shown = without_userinfo(value);
    if variable.eq_ignore_ascii_case("NO_PROXY") {
        return DoctorFinding::ok(name, shown);
    }
    let (scheme, rest) = shown.split_once("://").unwrap_or(("http", shown.as_str()));
    let is_address = Url::parse(&format!("http://{rest}")).is_ok_and(|url| url.has_host());
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" if is_address => DoctorFinding::ok(name, shown),
        "http" | "https" => {
            let found = format!("{shown} is no address, and is not used");
            DoctorFinding::warn(name, found, "write it as http://HOST:PORT, or unset it")
        }
        scheme => {
            let found = format!("{shown}: windrow cannot use a `{scheme}` proxy");
            DoctorFinding::warn(name, found, "name an http:// proxy, or unset it")
        }
    }
}

/// The address without user and password, however badly it is written: all that comes before the
/// last `@` is dropped, but for what can only be a scheme.
fn without_userinfo(value: &str) -> String {
    let is_scheme = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric());
    let scheme = value.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme);
    match (value.rsplit_once('@'), scheme) {
        (None, _) => value.to_owned(),
        (Some((_, host)), Some(scheme)) => format!("{scheme}://{host}"),
        (Some((_, host)), None) => host.to_owned(),
    }
}

fn reached(source: &SourceFacts, links_up: Option<bool>) -> DoctorFinding {
    let name = format!("source {}", source.name);
    let base = &source.base_url;
    match &source.reach {
        SourceReach::NotAsked => DoctorFinding::skip(name, OFFLINE),
        SourceReach::NoClient(why) => {
            let help = "the system's certificates must be installed (package `ca-certificates`)";
            let found = format!("no request can be sent: {why}");
            DoctorFinding::bad(name, FaultArea::Trust, found, help)
        }
        SourceReach::Answered(answer) => answered(name, base, answer),
        // The answer was there, and was longer than anybody needs who only knocks.
        SourceReach::Failed(error) if answers_at_length(error.kind) => {
            DoctorFinding::ok(name, format!("{base} answers, at length"))
        }
        SourceReach::Failed(error) if error.kind == NetKind::Tls => DoctorFinding::skip(
            name,
            "something answers, but not by a connection that can be trusted",
        ),
        SourceReach::Failed(error) => {
            let (fault, what, help) = reason_of(error);
            let down = if links_up == Some(false) { "; no network interface is up" } else { "" };
            let found = format!("{base}: {what} ({}){down}", error.detail);
            DoctorFinding::bad(name, fault, found, help)
        }
    }
}

fn answered(name: String, base: &str, answer: &AnswerFacts) -> DoctorFinding {
    let status = answer.status;
    if matches!(status, 407 | 511) {
        let found = format!("{base}: the network wants a login first: HTTP {status}");
        return DoctorFinding::bad(name, FaultArea::Offline, found, PORTAL_HELP);
    }
    if let Some(host) = &answer.elsewhere {
        let found = format!("{base} sends on to {host} (HTTP {status}): maybe a login page");
        return DoctorFinding::warn(name, found, PORTAL_HELP);
    }
    if answer.html {
        let found = format!("{base} answers HTTP {status} with a web page: maybe a login page");
        return DoctorFinding::warn(name, found, PORTAL_HELP);
    }
    DoctorFinding::ok(name, format!("{base} answers HTTP {status}"))
}

/// Whether somebody answered, with more or in another form than who only knocks wants.
fn answers_at_length(kind: NetKind) -> bool {
    matches!(kind, NetKind::TooLarge | NetKind::Swollen | NetKind::Undecodable)
}

/// What it was, by the words of the operating system and of rustls, and what to do about it.
fn reason_of(error: &NetError) -> (FaultArea, &'static str, &'static str) {
    let detail = error.detail.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    match error.kind {
        NetKind::Malformed => {
            (FaultArea::Definition, "it cannot be asked", "check the source's `base_url`")
        }
        NetKind::Timeout => (
            FaultArea::Offline,
            "there is a connection, and no answer",
            "try again later, or raise the source's `read_timeout`",
        ),
        NetKind::Cut => (
            FaultArea::Offline,
            "the connection breaks",
            "try again; a firewall or a proxy on the way may cut it",
        ),
        _ if says(&[
            "lookup",
            "name or service",
            "name resolution",
            "nodename",
            "no such host",
        ]) =>
        {
            (
                FaultArea::Offline,
                "its name is not known",
                "check the spelling of `base_url`; if no name is known, connect to a network",
            )
        }
        _ if says(&["refused"]) => (
            FaultArea::Offline,
            "nobody listens there",
            "check host and port of `base_url`, the proxy variables and the VPN",
        ),
        _ if says(&["no route", "unreachable"]) => (
            FaultArea::Offline,
            "no way leads there",
            "connect to a network, or to the VPN that leads there",
        ),
        _ if says(&["corrupt message"]) => (
            FaultArea::Offline,
            "what answers there does not speak TLS",
            "check the port of `base_url`, or whether it should be http://",
        ),
        _ => (
            FaultArea::Offline,
            "no connection comes about",
            "connect to a network; a firewall may be in the way, or the proxy variables are wrong",
        ),
    }
}

fn tls(source: &SourceFacts) -> DoctorFinding {
    let name = format!("tls {}", source.name);
    match &source.reach {
        SourceReach::NotAsked => DoctorFinding::skip(name, OFFLINE),
        _ if !source.secure && source.loopback => {
            DoctorFinding::skip(name, "plain http, within this machine")
        }
        _ if !source.secure => {
            let found = "plain http: whoever is on the way reads and changes what comes";
            DoctorFinding::warn(name, found, "use https in `base_url`, if the source has it")
        }
        SourceReach::Answered(_) => DoctorFinding::ok(name, "the certificate is trusted"),
        SourceReach::Failed(error) if answers_at_length(error.kind) => {
            DoctorFinding::ok(name, "the certificate is trusted")
        }
        SourceReach::Failed(error) if error.kind == NetKind::Tls => {
            let help = "set the clock; log in to the network in a browser; if the company's proxy \
                        opens TLS, its certificate must be among the system's";
            DoctorFinding::bad(name, FaultArea::Trust, &error.detail, help)
        }
        SourceReach::Failed(_) | SourceReach::NoClient(_) => {
            DoctorFinding::skip(name, "it was not reached")
        }
    }
}

fn clocks(source: &SourceFacts) -> DoctorFinding {
    let name = format!("clock and {}", source.name);
    let (theirs, ours) = match &source.reach {
        SourceReach::NotAsked => return DoctorFinding::skip(name, OFFLINE),
        SourceReach::Answered(AnswerFacts { clocks: Some(clocks), .. }) => *clocks,
        SourceReach::Answered(_) => {
            return DoctorFinding::skip(name, "the answer does not tell the time");
        }
        SourceReach::Failed(_) | SourceReach::NoClient(_) => {
            return DoctorFinding::skip(name, "it was not reached");
        }
    };
    let ahead = ours.signed_duration_since(theirs);
    if ahead.abs() <= TimeDelta::minutes(CLOCK_SKEW_MINUTES_MAX) {
        return DoctorFinding::ok(name, "this machine's clock agrees with the source's");
    }
    let direction = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!(
        "this machine's clock is {} {direction} the source's, which says {}",
        length(ahead.abs()),
        instant_to_text(theirs)
    );
    let help = if ahead < TimeDelta::zero() {
        "set the clock, best by the network's time (NTP); if it is right, the source's is ahead or \
         its local time is labelled GMT: windows settle by the earlier of the two clocks"
    } else {
        "set the clock, best by the network's time (NTP)"
    };
    DoctorFinding::warn(name, found, help)
}

/// `7 minutes`, `3 hours`, `2 days`.
fn length(time: TimeDelta) -> String {
    let (number, unit) = match time.num_minutes() {
        minutes @ ..120 => (minutes, "minutes"),
        minutes @ ..2880 => (minutes / 60, "hours"),
        minutes => (minutes / 1440, "days"),
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examine::tests::{at, each_is_found, finding, fine};
    use crate::doctor::finding::DoctorVerdict;

    const OFFLINE_FAULT: DoctorVerdict = DoctorVerdict::Bad(FaultArea::Offline);
    const TRUST: DoctorVerdict = DoctorVerdict::Bad(FaultArea::Trust);

    fn fails(facts: &mut Facts, kind: NetKind, detail: &str) {
        facts.sources[0].reach = SourceReach::Failed(NetError { kind, detail: detail.to_owned() });
    }

    fn answers(facts: &mut Facts, answer: AnswerFacts) {
        facts.sources[0].reach = SourceReach::Answered(answer);
    }

    #[test]
    fn each_way_of_not_reaching_a_source_is_told_apart() {
        each_is_found(&[
            (
                "source s",
                |f| fails(f, NetKind::Unreachable, "failed to lookup address information"),
                OFFLINE_FAULT,
                "its name is not known",
            ),
            (
                "source s",
                |f| fails(f, NetKind::Unreachable, "Connection refused (os error 111)"),
                OFFLINE_FAULT,
                "nobody listens there",
            ),
            (
                "source s",
                |f| fails(f, NetKind::Unreachable, "No route to host (os error 113)"),
                OFFLINE_FAULT,
                "no way leads there",
            ),
            (
                "source s",
                |f| {
                    f.links_up = Some(false);
                    fails(f, NetKind::Unreachable, "Network is unreachable (os error 101)");
                },
                OFFLINE_FAULT,
                "no network interface is up",
            ),
            (
                "source s",
                |f| fails(f, NetKind::Unreachable, "received corrupt message of type X"),
                OFFLINE_FAULT,
                "does not speak TLS",
            ),
            (
                "source s",
                |f| fails(f, NetKind::Unreachable, "no connection in time"),
                OFFLINE_FAULT,
                "no connection comes about",
            ),
            (
                "source s",
                |f| fails(f, NetKind::Timeout, "no answer in time"),
                OFFLINE_FAULT,
                "no answer",
            ),
            ("source s", |f| fails(f, NetKind::Cut, "reset"), OFFLINE_FAULT, "breaks"),
            (
                "source s",
                |f| fails(f, NetKind::Malformed, "?"),
                DoctorVerdict::Bad(FaultArea::Definition),
                "cannot be asked",
            ),
            ("source s", |f| fails(f, NetKind::TooLarge, "?"), DoctorVerdict::Ok, "at length"),
            (
                "source s",
                |f| fails(f, NetKind::Tls, "?"),
                DoctorVerdict::Skip,
                "not by a connection",
            ),
            ("tls s", |f| fails(f, NetKind::Tls, "UnknownIssuer"), TRUST, "UnknownIssuer"),
            ("tls s", |f| fails(f, NetKind::Cut, "reset"), DoctorVerdict::Skip, "not reached"),
            (
                "source s",
                |f| f.sources[0].reach = SourceReach::NoClient("no certificates".to_owned()),
                TRUST,
                "no certificates",
            ),
        ]);
    }

    #[test]
    fn an_answer_of_somebody_else_is_told() {
        each_is_found(&[
            (
                "source s",
                |f| answers(f, AnswerFacts { status: 511, ..AnswerFacts::default() }),
                OFFLINE_FAULT,
                "wants a login",
            ),
            (
                "source s",
                |f| answers(f, AnswerFacts { status: 200, html: true, ..AnswerFacts::default() }),
                DoctorVerdict::Warn,
                "a web page",
            ),
            (
                "source s",
                |f| {
                    let elsewhere = Some("login.hotel.example".to_owned());
                    answers(f, AnswerFacts { status: 302, elsewhere, ..AnswerFacts::default() });
                },
                DoctorVerdict::Warn,
                "login.hotel.example",
            ),
            ("tls s", |f| f.sources[0].secure = false, DoctorVerdict::Warn, "plain http"),
        ]);
    }

    #[test]
    fn what_is_wrong_with_clock_links_and_proxies_is_found() {
        each_is_found(&[
            ("clock", |f| f.now = at("1970-01-01T00:10:00Z"), TRUST, "1970-01-01"),
            (
                "clock and s",
                |f| {
                    let clocks = Some((at("2026-01-10T12:00:00Z"), at("2026-01-10T12:07:00Z")));
                    answers(f, AnswerFacts { status: 200, clocks, ..AnswerFacts::default() });
                },
                DoctorVerdict::Warn,
                "7 minutes ahead of",
            ),
            (
                "clock and s",
                |f| {
                    let clocks = Some((at("2026-01-10T12:00:00Z"), at("2026-01-07T12:00:00Z")));
                    answers(f, AnswerFacts { status: 200, clocks, ..AnswerFacts::default() });
                },
                DoctorVerdict::Warn,
                "3 days behind",
            ),
            (
                "links",
                |f| {
                    f.links_up = Some(false);
                    fails(f, NetKind::Unreachable, "Network is unreachable");
                },
                OFFLINE_FAULT,
                "no network interface",
            ),
            ("links", |f| f.links_up = Some(false), DoctorVerdict::Ok, "answers all the same"),
            ("links", |f| f.links_up = None, DoctorVerdict::Skip, "does not tell"),
            (
                "proxy ALL_PROXY",
                |f| f.proxies = vec![("ALL_PROXY".to_owned(), "socks5://h:1080".to_owned())],
                DoctorVerdict::Warn,
                "`socks5` proxy",
            ),
            (
                "proxy HTTP_PROXY",
                |f| f.proxies = vec![("HTTP_PROXY".to_owned(), "http://".to_owned())],
                DoctorVerdict::Warn,
                "is no address",
            ),
            (
                "proxy HTTP_PROXY",
                |f| f.proxies = vec![("HTTP_PROXY".to_owned(), "proxy:3128".to_owned())],
                DoctorVerdict::Ok,
                "proxy:3128",
            ),
        ]);
    }

    #[test]
    fn offline_on_purpose_nothing_outside_is_judged() {
        let mut facts = fine();
        facts.offline = true;
        facts.links_up = Some(false);
        facts.sources[0].reach = SourceReach::NotAsked;
        for name in ["links", "source s", "tls s", "clock and s"] {
            assert_eq!(finding(&facts, name).state, DoctorVerdict::Skip, "{name}");
        }
    }

    #[test]
    fn no_password_of_a_proxy_is_shown_however_it_is_written() {
        let cases = [
            ("http://u:canary@proxy:3128/", "http://proxy:3128/"),
            ("u:canary@proxy:3128", "proxy:3128"),
            ("http://u:can@ary@proxy:3128", "http://proxy:3128"),
            ("http://u:can/ary@proxy", "http://proxy"),
            ("u:canary://x@proxy", "proxy"),
            ("proxy:3128", "proxy:3128"),
        ];
        for (value, shown) in cases {
            assert_eq!(without_userinfo(value), shown, "{value}");
        }
    }
}
