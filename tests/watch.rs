//! `windrow watch`: every state is told apart, the network's return wakes it, a signal ends it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::api::{Api, FAST, Reply, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::Workspace;
use crate::outbox::{add, states};
use crate::outbox_moves::{STREAM, shop};

/// A watch that runs, and what it prints.
pub struct Watch {
    child: Child,
    lines: Receiver<Value>,
}

impl Watch {
    pub fn start(workspace: &Workspace, every: &str) -> Watch {
        Watch::of(workspace.command(&["watch", "--json", "--every", every]))
    }

    fn of(mut command: std::process::Command) -> Watch {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("windrow starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("JSON on each line");
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Watch { child, lines }
    }

    /// The next line of that state.
    pub fn until(&self, state: &str) -> Value {
        for _ in 0..20 {
            let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("a line");
            if line["state"] == state {
                return line;
            }
        }
        panic!("never {state}")
    }

    /// Sends a signal and gives the exit code, which must be there within two seconds.
    #[cfg(unix)]
    fn end(mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.expect("kill runs").success());
        for _ in 0..20 {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            #[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it did not end within two seconds")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of ten minutes goes on, and nothing is read for it.
#[test]
fn a_request_that_is_queued_during_a_rest_is_sent_at_once() {
    let shop = shop();
    let workspace = Workspace::new(&shop.definition(STREAM));
    let watch = Watch::start(&workspace, "10 minutes");
    let synced = watch.until("synced");
    for key in ["k1", "k2"] {
        let reads = shop.api.log().iter().filter(|asked| asked.method == "GET").count();
        add(&workspace, &["--key", key, "--body", "{}"]).expect(0);
        let sent = watch.until("sent");
        assert_eq!(sent["woken_by"], "outbox", "{sent}");
        assert_eq!(sent["message"], "outbox: 1 done", "{sent}");
        assert!(sent["run"].is_null(), "{sent}");
        assert_eq!(states(&workspace).last(), Some(&format!("{key} done")));
        let after = shop.api.log().iter().filter(|asked| asked.method == "GET").count();
        assert_eq!(after, reads, "nothing is read for it");
        assert!(sent["next_at"].as_str() <= synced["next_at"].as_str(), "{sent} {synced}");
    }
    assert_eq!(shop.effects().len(), 2);
}

#[cfg(unix)]
#[test]
fn a_watch_goes_on_through_every_state_and_ends_with_the_archive_whole() {
    let api = UsageApi::start(nine_days(), 50);
    let truth = Arc::clone(&api.records);
    let state = Arc::new(Mutex::new("200 OK"));
    let shown = Arc::clone(&state);
    let front = Api::start(move |_, _| {
        let state = *shown.lock().expect("no test panics in here");
        let records = truth.lock().expect("no test panics in here");
        let body: Vec<String> = records.iter().map(|record| record.json()).collect();
        match state {
            "portal" => answer("200 OK", &[("content-type", "text/html")], "<html>hotel</html>"),
            "cut" => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()),
            "200 OK" => json(&format!(r#"{{"data":[{}]}}"#, body.join(","))),
            status => answer(status, &[], ""),
        }
    });
    let definition =
        items_definition(&front.address, FAST, "").replace("\"id\"", "[\"id\",\"day\"]");
    let workspace = Workspace::new(&definition);
    let set = |next| *state.lock().expect("no test panics in here") = next;
    let watch = Watch::start(&workspace, "1 second");
    assert_eq!(watch.until("synced")["message"], "27 new, 0 changed");
    set("portal");
    let offline = watch.until("offline");
    assert!(offline["message"].as_str().expect("text").contains("login page"), "{offline}");
    assert_eq!(offline["until_network"], true);
    set("503 Service Unavailable");
    assert!(watch.until("failing")["message"].as_str().expect("text").contains("HTTP 503"));
    assert_eq!(watch.end("-TERM"), Some(143));
    set("200 OK");
    api.change(|records| records[0].gb = 99.5);
    let watch = Watch::start(&workspace, "1 second");
    assert_eq!(watch.until("synced")["message"], "0 new, 1 changed");
    assert_eq!(watch.end("-INT"), Some(130));
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "27");
}

#[cfg(unix)]
#[test]
fn a_watch_that_waits_for_an_answer_ends_within_two_seconds_too() {
    let (tell, asked) = channel();
    let tell = Mutex::new(tell);
    let api = Api::start(move |_, _| {
        let _ = tell.lock().expect("one listener").send(());
        Reply::Silence(Duration::from_secs(30))
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let watch = Watch::start(&workspace, "1 second");
    asked.recv_timeout(Duration::from_secs(10)).expect("it asks");
    assert_eq!(watch.end("-TERM"), Some(143));
}

#[cfg(unix)]
#[test]
fn an_archive_that_was_pulled_out_is_waited_for_and_never_begun_anew() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let archive = workspace.path("a.db");
    let watch = Watch::start(&workspace, "1 second");
    watch.until("synced");
    let aside = archive.with_extension("aside");
    std::fs::rename(&archive, &aside).expect("the stick is pulled out");
    let told = watch.until("gone");
    assert!(told["message"].as_str().expect("text").contains("no longer there"), "{told}");
    assert!(!archive.exists(), "nothing is begun in its place");
    std::fs::rename(&aside, &archive).expect("it is put back");
    watch.until("synced");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
}

#[cfg(unix)]
#[test]
fn an_archive_that_is_not_usable_ends_the_watch() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    std::fs::write(workspace.path("a.db"), "this is no archive, and never was one")
        .expect("a file");
    let ran = workspace.run(&["watch"]).expect(6);
    assert!(ran.stderr.contains("not"), "{ran:?}");
}

/// In a namespace of its own the watch sees no network, until an address comes: by netlink, and not
/// because its rest is over. Where the system gives no such namespaces, there is nothing to see.
#[cfg(target_os = "linux")]
#[test]
fn a_network_that_comes_back_wakes_the_watch() {
    let inside = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        // Whatever is still in the namespace ends with it.
        command.args(["-rnp", "--fork", "--kill-child", "sh", "-c", script, "sh"]);
        command
    };
    let can = inside("ip link set lo up && ip address add 10.9.0.1/32 dev lo").output();
    if !can.is_ok_and(|output| output.status.success()) {
        return;
    }
    let workspace = Workspace::new(&items_definition("http://10.250.0.1:9", FAST, ""));
    let script = "ip link set lo up; \"$@\" & watch=$!; n=1
        while [ $n -lt 200 ] && kill -0 $watch; do
            sleep 0.3; ip address add 10.9.0.$n/32 dev lo; n=$((n+1))
        done; kill $watch";
    let plain = workspace.command(&["watch", "--json"]);
    let mut command = inside(script);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        value.map(|value| command.env(name, value));
    }
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    let watch = Watch::of(command);
    let first = watch.until("offline");
    assert_eq!((&first["woken_by"], &first["until_network"]), (&"start".into(), &true.into()));
    let woken: Vec<Value> = (0..3).map(|_| watch.until("offline")["woken_by"].clone()).collect();
    assert!(woken.contains(&"network".into()), "{woken:?}");
}

#[test]
fn between_two_rounds_the_archive_is_free() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let watch = Watch::start(&workspace, "1 hour");
    watch.until("synced");
    workspace.run(&["sync"]).expect(0);
    workspace.run(&["eject"]).expect(0);
}

#[test]
fn what_a_watch_cannot_start_with_is_told_at_once() {
    let workspace = Workspace::new("[archive]\n");
    workspace.run(&["watch"]).expect(2);
    let api = UsageApi::start(nine_days(), 50);
    workspace.define(&api.definition(""));
    workspace.run(&["watch", "--every", "0 seconds"]).expect(2);
    workspace.run(&["watch", "nothing"]).expect(2);
}

#[test]
fn the_unit_of_each_system_names_program_and_definition() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    for kind in ["systemd", "launchd", "task-scheduler"] {
        let unit = workspace.run(&["watch", &format!("--print-unit={kind}")]).expect(0).stdout;
        assert!(unit.contains("windrow.toml") && unit.contains("watch"), "{unit}");
    }
    let own = workspace.run(&["watch", "--print-unit"]).expect(0).stdout;
    assert!(own.contains("windrow.toml"), "{own}");
}

#[test]
fn offline_means_that_no_socket_is_opened() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let api = Api::start(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        json(r#"{"data":[{"id":1}]}"#)
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let ran = workspace.run(&["sync", "--offline"]).expect(3);
    assert!(ran.stderr.contains("--offline"), "{ran:?}");
    for command in [&["status"][..], &["runs"], &["doctor", "--offline"], &["query", "SELECT 1"]] {
        workspace.run(command).expect(0);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    workspace.run(&["sync"]).expect(0);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
