//! The gateway and requests that two programs may read in two ways, or that never end.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::gateway::{Gateway, PATIENCE};
use crate::harness::Workspace;
use crate::outbox::{Counter, Step};

fn shop() -> (Counter, Workspace, Gateway) {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    (shop, workspace, gateway)
}

fn assert_untouched(shop: &Counter, workspace: &Workspace) {
    assert_eq!(shop.api.log().len(), 0);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "0");
}

#[test]
fn a_path_that_some_server_reads_as_a_way_out_is_refused() {
    let (shop, workspace, gateway) = shop();
    let targets = [
        "/shop/../a",
        "/shop/..",
        "/shop/./a",
        "/shop/a/../../b",
        "/shop/%2e%2e/a",
        "/shop/%2E./a",
        "/shop/..%2fa",
        "/shop/a%2F..%2fb",
        "/shop/a%2fb",
        "/shop/..%5ca",
        "/shop/a%5Cb",
        "/shop/..\\a",
        "/shop/a\\b",
        "/shop/..;/a",
        "/shop/..;x=1/a",
        "/shop/.;/a",
        "/shop/..%3b/a",
        "/shop/..%3Fx/a",
        "/shop/..%23/a",
        "/shop/..%20/a",
        "/shop/%252e%252e/a",
        "/shop/..%252fa",
        "/shop/%25252e%25252e/a",
        "/shop/a%252fb",
        "/shop/a%00",
        "/shop/..%00/a",
        "/shop/a%0d%0ab",
        "/shop/a%7f",
        "/shop/%c0%ae%c0%ae/a",
        "/shop/%e0%80%ae%e0%80%ae/a",
        "/shop/%ef%bc%8e%ef%bc%8e/a",
        "/shop/%u002e%u002e/a",
        "/shop/a%2",
        "/shop/a%zz",
        "/shop//a",
        "/shop/a//b",
        "//shop/a",
        "//evil.example/shop/a",
        "/shop%2f..%2fa",
        "http://evil.example/shop/a",
        "http://127.0.0.1/shop/a",
        "evil.example:443",
        "*",
    ];
    for target in targets {
        let told = gateway.ask("POST", target, "idempotency-key: k\r\n", "{}");
        told.is_problem(400, "request-invalid");
    }
    assert_untouched(&shop, &workspace);
    for (number, target) in
        ["/shop/a.b/..c", "/shop/a;b=1", "/shop/a%20b/%C3%A9?x=../y%2f"].into_iter().enumerate()
    {
        let key = format!("idempotency-key: k{number}\r\n");
        assert_eq!(gateway.ask("POST", target, &key, "{}").status, 201, "{target}");
        assert_eq!(shop.api.log()[number].target, target.replace("/shop", "/v1"));
    }
}

/// No spelling of a way out is queued on the command line either.
#[test]
fn the_command_line_queues_no_way_out() {
    let (shop, workspace, _gateway) = shop();
    for path in ["/../a", "/..%2fa", "/..;/a", "/%252e%252e/a", "/..%5ca", "/a/%2e%2e;x/b"] {
        let ran = workspace.run(&["outbox", "add", "POST", path]).expect(2);
        assert!(ran.stderr.contains("leads out"), "{path}: {ran:?}");
    }
    assert_untouched(&shop, &workspace);
    // An escaped slash is a part of a name, where a person wrote it.
    workspace.run(&["outbox", "add", "POST", "/a%2Fb"]).expect(0);
}

/// The beginning of a good request, up to where its body's length comes.
fn begun(gateway: &Gateway) -> String {
    let (host, token) = (&gateway.address, &gateway.token);
    format!(
        "POST /shop/a HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         idempotency-key: k\r\n"
    )
}

/// Requests that are good but for one thing in their heads.
fn bad_heads(good: &str) -> Vec<String> {
    let body = "content-length: 2\r\n\r\n{}";
    let whole = format!("{good}{body}");
    let with = |header: &str| format!("{good}{header}\r\n{body}");
    let instead = |framing: &str| format!("{good}{framing}\r\n\r\n{{}}");
    let mut heads = vec![
        whole.replace("\r\n", "\n"),
        whole.replacen("\r\n", "\n", 1),
        whole.replacen("\r\nidem", "\nidem", 1),
        whole.replacen("\r\n\r\n", "\r\n\n", 1),
        whole.replacen("\r\n\r\n", "\n\r\n", 1),
        whole.replacen("\r\nidem", "\ridem", 1),
        whole.replacen("HTTP/1.1", "HTTP/1.1\r", 1),
        format!("\n{whole}"),
        whole.replacen("POST /", "POST  /", 1),
        whole.replacen("POST /", "POST\t/", 1),
        whole.replacen(" HTTP/1.1", "  HTTP/1.1", 1),
        whole.replacen("HTTP/1.1", "HTTP/1.1 ", 1),
        whole.replacen("HTTP/1.1", "HTTP/2.0", 1),
        whole.replacen("/shop/a", "/shop/\u{e9}", 1),
        with(" folded"),
        with("x: a\r\n b"),
        with("x: a\r\n\tb"),
        with("x : a"),
        with("x\t: a"),
        with("x"),
        with(": a"),
        with("x: a\0b"),
        with("x: a\u{b}b"),
    ];
    for coding in [
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "gzip",
        "xchunked",
        "\"chunked\"",
        "chunked;q=1",
        "",
    ] {
        heads.push(instead(&format!("transfer-encoding: {coding}")));
    }
    for length in ["+2", "-2", "2, 2", "02", "0x2", "2 ;", "2 2", "", "1e0", "18446744073709551618"]
    {
        heads.push(instead(&format!("content-length: {length}")));
    }
    heads.push(instead("content-length: 2\r\ncontent-length: 2"));
    heads.push(instead("content-length: 2\r\nContent-Length: 3"));
    heads.push(instead("content-length: 2\r\ntransfer-encoding: chunked"));
    heads.push(instead("transfer-encoding: chunked\r\ntransfer-encoding: chunked"));
    heads.push(instead("transfer-encoding: chunked").replacen("HTTP/1.1", "HTTP/1.0", 1));
    heads
}

#[test]
fn a_head_that_has_two_fetches_is_refused_with_its_connection() {
    let (shop, workspace, gateway) = shop();
    let (host, token) = (&gateway.address, &gateway.token);
    let good = begun(&gateway);
    let whole = format!("{good}content-length: 2\r\n\r\n{{}}");
    let heads = bad_heads(&good);
    let smuggled = whole.replacen("/shop/a", "/shop/smuggled", 1);
    for head in &heads {
        let mut line = gateway.line();
        let told = line.send(format!("{head}{smuggled}").as_bytes()).hear().expect("an answer");
        assert_eq!(told.status, 400, "{head:?}: {told:?}");
        assert!(told.json()["detail"].as_str().is_some_and(|text| !text.is_empty()), "{told:?}");
        assert!(line.hear().is_none(), "{head:?}");
    }
    assert_untouched(&shop, &workspace);
    // The same as the second request of a connection.
    let ask = format!(
        "GET /.windrow/outbox/shop/none HTTP/1.1\r\nhost: {host}\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    for head in &heads {
        let mut line = gateway.line();
        assert_eq!(line.send(ask.as_bytes()).hear().expect("an answer").status, 404);
        let told = line.send(format!("{head}{smuggled}").as_bytes()).hear().expect("an answer");
        assert_eq!(told.status, 400, "{head:?}: {told:?}");
        assert!(line.hear().is_none(), "{head:?}");
    }
    assert_untouched(&shop, &workspace);
    let mut line = gateway.line();
    assert_eq!(line.send(whole.as_bytes()).hear().expect("an answer").status, 201);
    let again = line.send(whole.as_bytes()).hear().expect("an answer");
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "the connection is kept");
}

#[test]
fn a_host_that_is_not_the_gateways_exact_name_is_refused_with_its_connection() {
    let (shop, workspace, gateway) = shop();
    let port = gateway.address.rsplit_once(':').expect("a port").1;
    let hosts = [
        format!("host: 127.0.0.1:+{port}\r\n"),
        format!("host: 127.0.0.1:0{port}\r\n"),
        format!("host: 127.0.0.1: {port}\r\n"),
        format!("host: me@127.0.0.1:{port}\r\n"),
        format!("host: evil.example@127.0.0.1:{port}\r\n"),
        format!("host: 127.0.0.1:{port}, evil.example\r\n"),
        format!("host: [127.0.0.1]:{port}\r\n"),
        format!("host: 127.1:{port}\r\n"),
        format!("host: localhost.:{port}\r\n"),
        "host: 127.0.0.1:\r\n".to_owned(),
        "host:\r\n".to_owned(),
        String::new(),
        format!("host: 127.0.0.1:{port}\r\nhost: 127.0.0.1:{port}\r\n"),
    ];
    for host in hosts {
        let token = &gateway.token;
        let text = format!(
            "POST /shop/a HTTP/1.1\r\n{host}authorization: Bearer {token}\r\n\
             idempotency-key: k\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let mut line = gateway.line();
        let told = line.send(text.as_bytes()).hear().expect("an answer");
        told.is_problem(403, "host-refused");
        assert!(line.hear().is_none(), "{host:?}");
    }
    assert_untouched(&shop, &workspace);
}

/// Connections that begin a request and do not go on.
fn half_open(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(&gateway.address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let head = format!("POST /shop/a HTTP/1.1\r\nhost: {}\r\n", gateway.address);
        stream.write_all(head.as_bytes()).expect("it is taken");
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn a_good_request_is_answered_while_hundreds_are_held_open_without_a_token() {
    let (shop, _workspace, gateway) = shop();
    let mut held = half_open(&gateway, 300);
    assert_eq!(gateway.post("k1", "", "{}").status, 201);
    // This one was begun early enough to be over by its deadline, had the answer taken so long.
    let mut early = held.swap_remove(200);
    early.write_all(b"\r\n").expect("it is open still");
    let mut answer = [0; 12];
    early.read_exact(&mut answer).expect("an answer, and not the end");
    assert_eq!(&answer, b"HTTP/1.1 401");
    // The oldest had to go for those that came after.
    let mut rest = Vec::new();
    let _ = held[0].read_to_end(&mut rest);
    assert_eq!(rest, b"");
    held.extend(half_open(&gateway, 385));
    let mut line = gateway.line();
    for key in ["k2", "k3", "k4"] {
        let key = format!("idempotency-key: {key}\r\n");
        line.send(&gateway.bytes("POST", "/shop/orders", &key, "{}"));
        assert_eq!(line.hear().expect("an answer").status, 201);
        // Who has shown the token is not the one that goes.
        held.drain(..200);
        held.extend(half_open(&gateway, 200));
    }
    assert_eq!(shop.effects().len(), 4);
}
