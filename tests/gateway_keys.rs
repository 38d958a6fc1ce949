//! The gateway and programs that are made for one API: their key stands where that API has it.

use crate::gateway::Gateway;
use crate::harness::Workspace;
use crate::outbox::{Counter, Step};

/// One program in its own words and one in windrow's are the same request, which is sent once with
/// the key where the API has it, and nowhere else.
#[test]
fn a_client_of_an_api_with_a_header_of_its_own_is_served_by_the_rules_of_the_source() {
    let shop = Counter::start(|_, _| Step::Take);
    let rule = "idempotency = { name = \"PayPal-Request-Id\", format = \"plain\" }\n";
    let workspace = Workspace::new(&shop.definition(rule));
    let gateway = Gateway::start(&workspace);
    let post = |headers: &str| gateway.ask("POST", "/shop/v2/orders", headers, r#"{"a":1}"#);
    let first = post("paypal-request-id: k1\r\n");
    assert_eq!(first.status, 201, "{first:?}");
    let again = post("idempotency-key: k1\r\n");
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
    let log = shop.api.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].header("paypal-request-id"), Some("k1"));
    assert_eq!(log[0].header("idempotency-key"), None);
    assert_eq!(log[0].body, r#"{"a":1}"#);
    post("").is_problem(400, "key-missing");
    let detail = post("").json()["detail"].to_string();
    assert!(detail.contains("PayPal-Request-Id"), "{detail}");
    post("paypal-request-id: k2\r\nidempotency-key: k3\r\n").is_problem(400, "key-twice");
    assert_eq!(shop.api.log().len(), 1);
}

#[test]
fn a_client_of_an_api_with_the_key_in_the_body_is_served_by_the_rules_of_the_source() {
    let shop = Counter::start(|_, _| Step::Take);
    let rule = "idempotency = { in = \"body\", name = \"idempotency_key\" }\n";
    let workspace = Workspace::new(&shop.definition(rule));
    let gateway = Gateway::start(&workspace);
    let post = |headers: &str, body: &str| gateway.ask("POST", "/shop/v2/orders", headers, body);
    let whole = r#"{"amount":10.50,"idempotency_key":"k1"}"#;
    let first = post("", whole);
    assert_eq!(first.status, 201, "{first:?}");
    let again = post("", whole);
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
    let again = post("idempotency-key: k1\r\n", r#"{"amount":10.50}"#);
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
    let log = shop.api.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].body, r#"{"idempotency_key":"k1","amount":10.50}"#);
    post("", r#"{"amount":11,"idempotency_key":"k1"}"#).is_problem(422, "key-reused");
    post("", r#"{"amount":11}"#).is_problem(400, "key-missing");
    assert_eq!(shop.api.log().len(), 1);
}
