//! The key of a request where programs of the API itself put it: in another header, a member of the
//! body or a parameter of the query, as the source's rule says. It is taken out of the request,
//! since windrow puts it there again with each attempt.

use hyper::HeaderMap;

use crate::definition::{KeyPlace, KeyRule};
use crate::record::Members;

use super::ask::Write;
use super::key::{key_of, twice};
use super::problem::{GatewayProblem, GatewayProblemKind};

/// Takes the key out of a request and gives it. `body` may be empty.
pub(crate) fn take_key(
    write: &mut Write,
    headers: &HeaderMap,
    body: &mut Vec<u8>,
    rule: Option<&KeyRule>,
) -> Result<String, GatewayProblem> {
    let own = match rule.map(|rule| (rule.place, rule.name.as_str())) {
        Some((KeyPlace::Body, name)) => in_body(body, name)?,
        _ => key_of_head(write, headers, rule)?,
    };
    match (write.key.take(), own) {
        (Some(key), Some(own)) if key != own => Err(twice()),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(missing(rule)),
    }
}

/// Refuses a request without a key before its body has come, where the body cannot hold it.
pub(crate) fn refuse_keyless(
    write: &Write,
    headers: &HeaderMap,
    rule: Option<&KeyRule>,
) -> Result<(), GatewayProblem> {
    let in_body = rule.is_some_and(|rule| rule.place == KeyPlace::Body);
    if in_body || write.key.is_some() || key_of_head(&mut write.clone(), headers, rule)?.is_some() {
        return Ok(());
    }
    Err(missing(rule))
}

fn key_of_head(
    write: &mut Write,
    headers: &HeaderMap,
    rule: Option<&KeyRule>,
) -> Result<Option<String>, GatewayProblem> {
    match rule.map(|rule| (rule.place, rule.name.as_str())) {
        Some((KeyPlace::Header, name)) if !name.eq_ignore_ascii_case("idempotency-key") => {
            let values = headers.get_all(name).iter().map(|value| value.as_bytes());
            write.headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
            if headers.contains_key(name) { key_of(values).map(Some) } else { Ok(None) }
        }
        Some((KeyPlace::Query, name)) => in_query(&mut write.path, name),
        _ => Ok(None),
    }
}

/// Every other pair stays as it was written.
fn in_query(path: &mut String, name: &str) -> Result<Option<String>, GatewayProblem> {
    let Some((before, query)) = path.split_once('?') else { return Ok(None) };
    let value_of = |pair: &str| {
        let (have, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
        (have == name).then(|| value.into_owned())
    };
    let (own, rest): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|pair| value_of(pair).is_some());
    let key = match own[..] {
        [] => return Ok(None),
        [pair] => value_of(pair).unwrap_or_default(),
        _ => return Err(twice()),
    };
    let mark = if rest.is_empty() { "" } else { "?" };
    *path = format!("{before}{mark}{}", rest.join("&"));
    plain(key).map(Some)
}

/// The other members stay, each with its own bytes.
fn in_body(body: &mut Vec<u8>, name: &str) -> Result<Option<String>, GatewayProblem> {
    let Ok(Members(members)) = serde_json::from_slice::<Members<'_>>(body) else {
        return Ok(None);
    };
    let (own, rest): (Vec<_>, Vec<_>) = members.into_iter().partition(|(have, _)| have == name);
    let value = match &own[..] {
        [] => return Ok(None),
        [(_, value)] => value,
        _ => return Err(twice()),
    };
    let Ok(key) = serde_json::from_str::<String>(value) else {
        let detail = format!("the member {name:?} of the body is the key, and a key is a text");
        return Err(GatewayProblem::new(GatewayProblemKind::KeyInvalid, detail));
    };
    let rest = rest
        .iter()
        .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name.as_ref())));
    *body = format!("{{{}}}", rest.collect::<Vec<_>>().join(",")).into_bytes();
    plain(key).map(Some)
}

/// A key that is not written as a header is.
fn plain(key: String) -> Result<String, GatewayProblem> {
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    key_of(std::iter::once(quoted.as_bytes()))
}

fn missing(rule: Option<&KeyRule>) -> GatewayProblem {
    let own = match rule.map(|rule| (rule.place, rule.name.as_str())) {
        Some((KeyPlace::Header, name)) if !name.eq_ignore_ascii_case("idempotency-key") => {
            format!(", or `{name}: <a new UUID>`")
        }
        Some((KeyPlace::Body, name)) => format!(", or the member {name:?} of the body"),
        Some((KeyPlace::Query, name)) => format!(", or `{name}=<a new UUID>` in the query"),
        _ => String::new(),
    };
    let detail =
        format!("say which request this is, for example `Idempotency-Key: \"<a new UUID>\"`{own}");
    GatewayProblem::new(GatewayProblemKind::KeyMissing, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{KeyFormat, WriteMethod};

    fn rule(place: KeyPlace, name: &str) -> KeyRule {
        KeyRule { place, name: name.to_owned(), format: KeyFormat::Plain }
    }

    /// The key, and what is left of the path, the headers and the body.
    fn taken(
        rule: Option<&KeyRule>,
        key: Option<&str>,
        path: &str,
        given: &[(&str, &str)],
        body: &str,
    ) -> Result<(String, String, usize, String), GatewayProblemKind> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name: hyper::header::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut write = Write {
            source: "shop".to_owned(),
            method: WriteMethod::Post,
            path: path.to_owned(),
            headers: given.iter().map(owned).collect(),
            key: key.map(str::to_owned),
            wait: None,
        };
        let mut body = body.as_bytes().to_vec();
        refuse_keyless(&write, &headers, rule).map_err(|problem| problem.kind)?;
        let key = take_key(&mut write, &headers, &mut body, rule);
        let key = key.map_err(|problem| problem.kind)?;
        let body = String::from_utf8(body).expect("text");
        Ok((key, write.path, write.headers.len(), body))
    }

    #[test]
    fn a_key_is_taken_from_where_the_api_has_it() {
        use GatewayProblemKind::{KeyInvalid, KeyMissing, KeyTwice};
        let ok = |key: &str, path: &str, headers: usize, body: &str| {
            Ok((key.to_owned(), path.to_owned(), headers, body.to_owned()))
        };
        let paypal = rule(KeyPlace::Header, "PayPal-Request-Id");
        let header = |given: &[(&str, &str)], key| taken(Some(&paypal), key, "/a", given, "{}");
        assert_eq!(header(&[("paypal-request-id", "k"), ("x", "1")], None), ok("k", "/a", 1, "{}"));
        assert_eq!(header(&[("paypal-request-id", "k")], Some("k")), ok("k", "/a", 0, "{}"));
        assert_eq!(header(&[], Some("k")), ok("k", "/a", 0, "{}"));
        assert_eq!(header(&[("paypal-request-id", "k")], Some("l")), Err(KeyTwice));
        assert_eq!(
            header(&[("paypal-request-id", "k"), ("paypal-request-id", "k")], None),
            Err(KeyTwice)
        );
        assert_eq!(header(&[("paypal-request-id", "a b")], None), Err(KeyInvalid));
        assert_eq!(header(&[], None), Err(KeyMissing));
        // One that windrow does not pass on otherwise.
        let own = rule(KeyPlace::Header, "X-Request-Id");
        let given = [("x-request-id", "k")];
        assert_eq!(taken(Some(&own), None, "/a", &given, ""), ok("k", "/a", 0, ""));

        let square = rule(KeyPlace::Body, "idempotency_key");
        let body = |body: &str, key| taken(Some(&square), key, "/a", &[], body);
        let whole =
            r#"{ "amount": 1.10, "idempotency_key": "k", "ids": [ 12345678901234567890 ] }"#;
        let left = r#"{"amount":1.10,"ids":[ 12345678901234567890 ]}"#;
        assert_eq!(body(whole, None), ok("k", "/a", 0, left));
        assert_eq!(body(whole, Some("k")), ok("k", "/a", 0, left));
        assert_eq!(body(r#"{"idempotency_key":"k"}"#, None), ok("k", "/a", 0, "{}"));
        let twice = r#"{"idempotency_key":"k","idempotency_key":"k"}"#;
        assert_eq!(body(twice, None), Err(KeyTwice));
        let others = r#"{"a":1,"a":2,"idempotency_key":"k"}"#;
        assert_eq!(body(others, None), ok("k", "/a", 0, r#"{"a":1,"a":2}"#));
        assert_eq!(body(whole, Some("l")), Err(KeyTwice));
        assert_eq!(body(r#"{"idempotency_key":7}"#, None), Err(KeyInvalid));
        assert_eq!(body(r#"{"idempotency_key":""}"#, None), Err(KeyInvalid));
        assert_eq!(body(r#"{"a":{"idempotency_key":"k"}}"#, None), Err(KeyMissing));
        assert_eq!(body("no JSON", None), Err(KeyMissing));
        assert_eq!(body("no JSON", Some("k")), ok("k", "/a", 0, "no JSON"));

        let query = rule(KeyPlace::Query, "ref");
        let path = |path: &str| taken(Some(&query), None, path, &[], "");
        assert_eq!(path("/a?b=c%20d&ref=k%2F1&e"), ok("k/1", "/a?b=c%20d&e", 0, ""));
        assert_eq!(path("/a?ref=k"), ok("k", "/a", 0, ""));
        assert_eq!(path("/a?ref=k&ref=k"), Err(KeyTwice));
        assert_eq!(path("/a?reference=k"), Err(KeyMissing));
        // Without a rule the API knows no key, and the program says one all the same.
        assert_eq!(taken(None, Some("k"), "/a", &[], ""), ok("k", "/a", 0, ""));
        assert_eq!(taken(None, None, "/a", &[], ""), Err(KeyMissing));
    }
}
