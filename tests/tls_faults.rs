//! A far end that is not who it says it is: nothing is sent to it, and nothing is tried again.
//!
//! Needs `rcgen` and `rustls` as dev-dependencies. The binary is told of the test's own authority
//! by `SSL_CERT_FILE`, as a user with a private one would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::api::{FAST, items_definition};
use crate::harness::Workspace;

const KEY: &str = "canary-7f3a9c";

/// A certificate that the authority signed.
struct Signed {
    authority: String,
    config: Arc<ServerConfig>,
}

fn signed(name: &str, from: i32, to: i32) -> Signed {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority").pem();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    leaf.not_before = date_time_ymd(from, 1, 1);
    leaf.not_after = date_time_ymd(to, 1, 1);
    let leaf_key = KeyPair::generate().expect("a key");
    let certificate = leaf.signed_by(&leaf_key, &issuer).expect("a certificate");
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .expect("a certificate and its key");
    Signed { authority, config: Arc::new(config) }
}

/// What the server saw: how often it was connected to, and the requests that came.
#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
}

/// Serves one request for each connection, over TLS where there is a certificate, and else with
/// these bytes, whatever is asked.
fn serve(config: Option<Arc<ServerConfig>>, bytes: &'static [u8]) -> (String, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            log.lock().expect("no panic").connections += 1;
            let Some(config) = &config else {
                // The whole greeting is read, or closing would reset the connection.
                let greeting = socket.read(&mut [0; 8192]).unwrap_or_default();
                assert!(greeting > 0, "a client greets first");
                let _ = socket.write_all(bytes);
                continue;
            };
            let connection = ServerConnection::new(Arc::clone(config)).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, socket));
            let mut head = String::new();
            while stream.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if head.ends_with("\r\n\r\n") {
                log.lock().expect("no panic").requests.push(head);
                let body = r#"{"data":[{"id":1}]}"#;
                let length = body.len();
                let _ = write!(
                    stream.get_mut(),
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.get_mut().flush();
            }
        }
    });
    (address, seen)
}

fn workspace(address: &str, authority: Option<&str>) -> Workspace {
    let auth = format!("{FAST}\nauth = {{ kind = \"bearer\", token = \"${{env:KEY}}\" }}");
    let mut workspace = Workspace::new(&items_definition(address, &auth, ""));
    workspace.variable("KEY", KEY);
    if let Some(authority) = authority {
        std::fs::write(workspace.path("ca.pem"), authority).expect("a file");
        let path = workspace.path("ca.pem");
        workspace.variable("SSL_CERT_FILE", &path.to_string_lossy());
    }
    workspace
}

#[test]
fn a_certificate_that_does_not_hold_is_9_and_no_credential_is_sent() {
    let cases = [
        ("127.0.0.1", 2020, 2021, true, "certificate"),
        ("127.0.0.1", 2120, 2121, true, "certificate"),
        ("other.example", 2020, 2120, true, "certificate"),
        ("127.0.0.1", 2020, 2120, false, "certificate"),
    ];
    let good = signed("127.0.0.1", 2020, 2120);
    let (good_address, good_log) = serve(Some(Arc::clone(&good.config)), b"");
    for (name, from, to, known, says) in cases {
        let bad = signed(name, from, to);
        let (address, seen) = serve(Some(Arc::clone(&bad.config)), b"");
        let authority = if known { &bad.authority } else { &good.authority };
        let mut workspace = workspace(&address, Some(authority));
        let ran = workspace.run(&["sync"]).expect(9);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("clock"), "{ran:?}");
        let seen = seen.lock().expect("no panic");
        assert!(seen.requests.is_empty(), "{name} {from}: {:?}", seen.requests);
        assert_eq!(seen.connections, 1, "it is not tried again");
        let complete = "SELECT count(*) FROM _windrow_ledger WHERE state = 'complete'";
        assert_eq!(workspace.value(complete), "0");
        // Healed: the same archive, the same source, a certificate that holds.
        let auth = format!("{FAST}\nauth = {{ kind = \"bearer\", token = \"${{env:KEY}}\" }}");
        workspace.define(&items_definition(&good_address, &auth, ""));
        std::fs::write(workspace.path("ca.pem"), &good.authority).expect("a file");
        workspace.variable("KEY", KEY).at(crate::harness::NOW).sync();
        assert_eq!(workspace.value("SELECT id FROM items"), "1");
    }
    assert!(good_log.lock().expect("no panic").requests[0].contains(KEY));
}

#[test]
fn a_far_end_that_speaks_an_old_tls_or_none_is_never_sent_a_credential() {
    // Fatal alerts (RFC 8446, section 6): protocol_version and handshake_failure.
    for alert in [&[0x15, 3, 3, 0, 2, 2, 70][..], &[0x15, 3, 3, 0, 2, 2, 40]] {
        let (address, seen) = serve(None, alert);
        let ran = workspace(&address, None).run(&["sync"]).expect(9);
        assert!(ran.stderr.contains("no secure connection"), "{ran:?}");
        assert_eq!(seen.lock().expect("no panic").connections, 1, "it is not tried again");
    }
    // A break in the middle of the handshake and a proxy without TLS are the network's error.
    for bytes in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (address, seen) = serve(None, bytes);
        workspace(&address, None).run(&["sync"]).expect(3);
        assert_eq!(seen.lock().expect("no panic").connections, 3, "it is tried again");
    }
}
