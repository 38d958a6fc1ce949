//! `windrow publish` as far as it can be told without a database; .ci/postgres has a real one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace};

/// A workspace with nine days in its archive.
fn with_archive() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

/// A port where whoever connects is answered by `handler`.
fn server(handler: impl Fn(&mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            handler(&mut stream);
        }
    });
    port
}

/// The body of the client's first message, whose length comes before it.
fn startup(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).expect("a message");
    body
}

/// An error as a server of the protocol sends it.
fn complaint(state: &str, message: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{state}\0M{message}\0\0");
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [b"E", &length[..], body.as_bytes()].concat()
}

fn publish(workspace: &Workspace, url: &str, more: &[&str]) -> Ran {
    workspace.run(&[&["publish", url], more].concat())
}

#[test]
fn a_wrong_address_is_2_and_says_what_an_address_is_like() {
    let (_api, workspace) = with_archive();
    let ran = workspace.run(&["publish"]).expect(2);
    assert!(ran.stderr.contains("WINDROW_PUBLISH_URL"), "{ran:?}");
    for url in ["mysql://a@h/b", "db.example.com", "postgresql://a@h/b?sslmode=perhaps"] {
        let ran = publish(&workspace, url, &[]).expect(2);
        assert!(ran.stderr.contains("help:"), "{ran:?}");
    }
    let ran = publish(&workspace, "postgresql://a@localhost/b", &["--stream", "usge"]).expect(2);
    assert!(ran.stderr.contains("usage"), "{ran:?}");
    let ran = publish(&workspace, "postgresql://a@localhost/b", &["--schema", "pg_mine"]).expect(2);
    assert!(ran.stderr.contains("--schema"), "{ran:?}");
    let ran = publish(&workspace, "postgresql://a:${env:NONE}@localhost/b", &[]).expect(2);
    assert!(ran.stderr.contains("NONE"), "{ran:?}");
}

#[test]
fn a_database_that_is_not_there_is_3_and_the_archive_stays_as_it_was() {
    let (_api, mut workspace) = with_archive();
    let before = std::fs::read(workspace.path("a.db")).expect("the archive");
    let port =
        TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("one").port();
    let url = format!("postgresql://ana@127.0.0.1:{port}/fleet");
    for more in [&[][..], &["--dry-run"], &["--json"]] {
        let ran = publish(&workspace, &url, more).expect(3);
        assert!(ran.stderr.contains(&format!("127.0.0.1:{port}/fleet")), "{ran:?}");
        assert!(ran.stderr.contains("help:"), "{ran:?}");
    }
    let json = publish(&workspace, &url, &["--json"]).expect(3).json();
    assert_eq!((&json["exit_code"], &json["streams"]), (&3.into(), &serde_json::json!([])));
    workspace.variable("WINDROW_PUBLISH_URL", &url);
    workspace.run(&["publish"]).expect(3);
    assert_eq!(std::fs::read(workspace.path("a.db")).expect("the archive"), before);
}

#[test]
fn a_password_is_asked_for_by_its_place_and_never_told() {
    let port = server(|stream| {
        let said = String::from_utf8_lossy(&startup(stream)).into_owned();
        assert!(!said.contains("canary"), "no password is sent unasked: {said}");
        // A server that repeats what it should not.
        let _ = stream.write_all(&complaint("28P01", "no canary-battery for you"));
    });
    let (_api, mut workspace) = with_archive();
    workspace.variable("PGPASSWORD", "canary-battery");
    let ran = publish(&workspace, &format!("postgresql://ana@127.0.0.1:{port}/x"), &[]).expect(4);
    assert!(ran.stderr.contains("PGPASSWORD"), "{ran:?}");
    let inside = format!("postgresql://ana:canary-battery@127.0.0.1:{port}/x");
    let shown = publish(&workspace, &inside, &["-vv"]).expect(4);
    assert!(shown.stderr.contains("on a command line"), "{shown:?}");
    let mut everything = format!("{ran:?}{shown:?}");
    for entry in std::fs::read_dir(workspace.path("state")).expect("logs").flatten() {
        everything.push_str(&std::fs::read_to_string(entry.path()).expect("a log"));
    }
    assert!(everything.contains("publishing begins"), "{everything}");
    assert!(!everything.contains("canary-battery"), "{everything}");
}

#[test]
fn another_machine_is_never_spoken_to_in_the_open_unasked() {
    // A server that takes no TLS: it is asked for it, and told nothing else.
    let port = server(|stream| {
        let asked = startup(stream);
        assert_eq!(asked, 80_877_103_u32.to_be_bytes(), "SSLRequest");
        let _ = stream.write_all(b"N");
        let mut more = Vec::new();
        let _ = stream.read_to_end(&mut more);
        assert!(more.is_empty(), "{more:?}");
    });
    let (_api, workspace) = with_archive();
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("postgresql://ana@127.0.0.1:{port}/x?sslmode={mode}");
        let ran = publish(&workspace, &url, &[]).expect(9);
        assert!(ran.stderr.contains("does not support TLS"), "{ran:?}");
        assert!(ran.stderr.contains("sslmode=disable"), "{ran:?}");
    }
}

#[test]
fn each_refusal_of_a_server_has_its_code_and_its_help() {
    let cases = [
        ("3D000", "database \"x\" does not exist", 2),
        ("57P03", "the database system is starting up", 3),
        ("53300", "sorry, too many clients already", 3),
        ("28000", "no pg_hba.conf entry for host", 4),
        ("53100", "could not extend file: No space left on device", 8),
    ];
    let (_api, workspace) = with_archive();
    for (state, message, code) in cases {
        let port = server(move |stream| {
            startup(stream);
            let _ = stream.write_all(&complaint(state, message));
        });
        let url = format!("postgresql://ana@127.0.0.1:{port}/x");
        let ran = publish(&workspace, &url, &[]).expect(code);
        assert!(ran.stderr.contains(message) && ran.stderr.contains("help:"), "{ran:?}");
    }
    let port = server(|stream| drop(startup(stream)));
    let url = format!("postgresql://ana@127.0.0.1:{port}/x");
    publish(&workspace, &url, &[]).expect(3);
}

#[test]
fn an_archive_that_is_not_there_or_not_usable_is_6_before_anybody_is_called() {
    let port = server(|_| panic!("nobody is called"));
    let url = format!("postgresql://ana@127.0.0.1:{port}/x");
    let workspace = Workspace::empty();
    workspace.run(&["--archive", "none.db", "publish", &url]).expect(6);
    std::fs::write(workspace.path("none.db"), "not SQLite, and long enough to be read as a file")
        .expect("written");
    workspace.run(&["--archive", "none.db", "publish", &url]).expect(6);
}
