//! Which database, who asks, and how the way to it is kept private. Reads the environment and the
//! password file; opens no socket.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::{Host as Server, SslMode};

use crate::host::Environment;
use crate::model::Error;

/// How long a connection may take to come about: a shorter time fails on slow links, a longer one
/// keeps a person waiting for a host that is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server may be silent before it is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// How long what was sent may stay without an acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What is wrong most often with an address that is wrong.
const ESCAPES: &str = "in a password `@` is written %40, `?` %3F, `/` %2F; better set PGPASSWORD";

/// How much of the server's identity is proven, as libpq names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS: what is sent can be read on the way.
    Disable,
    /// TLS where the server has it; the far end proves nothing.
    Prefer,
    /// TLS; the far end proves nothing.
    Require,
    /// TLS; a trusted authority knows the far end.
    VerifyCa,
    /// TLS; a trusted authority knows the far end by this name.
    VerifyFull,
}

/// A database and the way to it.
#[derive(Clone)]
pub struct Address {
    /// What the client connects by. Holds the password.
    pub(crate) config: Config,
    /// How the way there is kept private.
    pub tls: TlsMode,
    /// The authority's certificate, as a PEM file.
    pub root: Option<PathBuf>,
    /// Whether it is on another machine.
    pub remote: bool,
    /// Whether the password stands in the address itself.
    pub in_address: bool,
    password: Option<String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Address({})", self.shown())
    }
}

impl Address {
    /// Reads `postgresql://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE][?OPTION=VALUE&…]`, in which
    /// `${env:NAME}` stands for a variable. A password that is not in it comes from PGPASSWORD, or
    /// from the file that `passfile` or PGPASSFILE name, or from `~/.pgpass`.
    pub fn resolve(text: &str, environment: &dyn Environment) -> Result<Address, Error> {
        let url = fill(text, environment)?;
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = "the address of a database begins with `postgresql://`";
            return Err(wrong(message).help("such as postgresql://ana@db.example.com/fleet"));
        }
        let (plain, options) = take_options(&url)?;
        let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            wrong(format!("the address of the database is wrong: {}", cause.unwrap_or_default()))
        })?;
        if config.get_hosts().is_empty() {
            let help = "such as postgresql://ana@db.example.com/fleet, or `?host=/run/postgresql`";
            return Err(wrong("the address names no host").help(help));
        }
        if config.get_hosts().iter().any(|host| host_text(host).contains('@')) {
            // Part of a password may have become the host: it is not shown.
            return Err(wrong("there are two `@` in the address").help(ESCAPES));
        }
        let remote = config.get_hosts().iter().any(is_remote);
        let tls = tls_mode(options.mode.as_deref(), remote)?;
        config
            .ssl_mode(if tls == TlsMode::Disable { SslMode::Disable } else { SslMode::Require })
            .application_name("windrow publish")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(SILENCE)
            .keepalives_interval(SILENCE / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(UNACKNOWLEDGED);
        let given = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let in_address = given.is_some() && url == text;
        let password = given.or_else(|| find_password(&config, options.passfile, environment));
        if let Some(password) = &password {
            config.password(password);
        }
        let root = options.root.map(PathBuf::from);
        Ok(Address { config, tls, root, remote, in_address, password })
    }

    /// The password, so that it can be kept out of texts.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The database for people: without user and password.
    pub fn shown(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(at, host)| {
                let ports = self.config.get_ports();
                let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
                format!("{}:{port}", host_text(host))
            })
            .collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("{}/{database}", hosts.join(","))
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::usage(message)
}

fn host_text(host: &Server) -> String {
    match host {
        Server::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Server::Unix(path) => path.display().to_string(),
    }
}

/// Whether whoever listens on the way could hear what is said.
fn is_remote(host: &Server) -> bool {
    match host {
        Server::Tcp(name) => {
            let loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            name != "localhost" && !loopback
        }
        #[cfg(unix)]
        Server::Unix(_) => false,
    }
}

/// Puts in the variables. Inside an address a value is escaped, so that it stays one piece.
fn fill(text: &str, environment: &dyn Environment) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${env:") {
        let Some((name, behind)) = behind.split_once('}') else { break };
        let value = environment.variable(name).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| {
            wrong(format!("the variable {name} is not set, which the address needs"))
                .help("set it in the shell that runs windrow, for example `export NAME=…`")
        })?;
        out.push_str(before);
        if before.is_empty() && behind.is_empty() && out.is_empty() {
            return Ok(value);
        }
        out.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
        rest = behind;
    }
    Ok(out + rest)
}

/// What the client does not know, or knows in part.
#[derive(Default)]
struct Options {
    mode: Option<String>,
    root: Option<String>,
    passfile: Option<String>,
}

fn take_options(url: &str) -> Result<(String, Options), Error> {
    let mut options = Options::default();
    let Some((plain, query)) = url.split_once('?') else { return Ok((url.to_owned(), options)) };
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = percent_decode_str(value).decode_utf8();
        let text = text.map_err(|_| wrong(format!("`{name}` in the address is not text")))?;
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(wrong("an option of the address is not known").help(ESCAPES));
        }
        match name {
            "sslmode" => options.mode = Some(text.into_owned()),
            "sslrootcert" => options.root = Some(text.into_owned()),
            "passfile" => options.passfile = Some(text.into_owned()),
            _ => others.push(pair),
        }
    }
    let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    Ok((format!("{plain}{query}"), options))
}

/// What is asked for; else full proof from another machine, and none from this one.
fn tls_mode(asked: Option<&str>, remote: bool) -> Result<TlsMode, Error> {
    Ok(match asked {
        None if remote => TlsMode::VerifyFull,
        None => TlsMode::Disable,
        Some("disable") => TlsMode::Disable,
        Some("prefer" | "allow") => TlsMode::Prefer,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(other) => {
            let help = "one of disable, prefer, require, verify-ca, verify-full";
            return Err(wrong(format!("`sslmode={other}` is not known")).help(help));
        }
    })
}

fn find_password(
    config: &Config,
    passfile: Option<String>,
    environment: &dyn Environment,
) -> Option<String> {
    if let Some(password) = environment.variable("PGPASSWORD").filter(|value| !value.is_empty()) {
        return Some(password);
    }
    let home = || environment.variable("HOME").map(|home| format!("{home}/.pgpass"));
    let file = passfile.or_else(|| environment.variable("PGPASSFILE")).or_else(home)?;
    let file = PathBuf::from(file);
    let text = environment.secret_file(&file).ok()?;
    if others_can_read(&file) {
        tracing::warn!(file = %file.display(), "others can read this password file: not used");
        return None;
    }
    let host = config.get_hosts().first().map(|host| match host {
        // As libpq has it: a socket is the machine itself.
        host if !is_remote(host) && host_text(host).starts_with('/') => "localhost".to_owned(),
        host => host_text(host),
    })?;
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default();
    password_of(&text, [&host, &port, config.get_dbname().unwrap_or(user), user])
}

#[cfg(unix)]
fn others_can_read(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_file: &std::path::Path) -> bool {
    false
}

/// The password of the first line whose host, port, database and user are these or `*`.
fn password_of(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields_of(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let same = |(have, want): (&String, &str)| *have == "*" || *have == want;
        let pairs = [host, port, database, user].into_iter().zip(wanted);
        pairs.into_iter().all(same).then(|| password.clone())
    })
}

/// Five fields between colons; a backslash takes the colon or backslash after it as it is.
fn fields_of(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let ended = letter == ':' && fields.len() < 5;
        let letter = if letter == '\\' { letters.next().unwrap_or('\\') } else { letter };
        match fields.last_mut() {
            Some(field) if !ended => field.push(letter),
            _ => fields.push(String::new()),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::host::ProcessEnvironment;
    use crate::model::ErrorKind;

    /// Variables that a test sets.
    struct Variables(BTreeMap<String, String>);

    impl Environment for Variables {
        fn variable(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }

        fn secret_file(&self, path: &Path) -> std::io::Result<String> {
            ProcessEnvironment.secret_file(path)
        }
    }

    fn environment(of: &[(&str, &str)]) -> Variables {
        let variables = of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Variables(variables.collect())
    }

    #[test]
    fn another_machine_is_never_spoken_to_in_the_open_unless_that_is_asked_for() {
        let cases = [
            ("postgresql://a@db.example.com/x", TlsMode::VerifyFull),
            ("postgresql://a@192.0.2.7/x", TlsMode::VerifyFull),
            ("postgresql://a@localhost/x", TlsMode::Disable),
            ("postgresql://a@127.0.0.1/x", TlsMode::Disable),
            ("postgresql://a@/x?host=/run/postgresql", TlsMode::Disable),
            ("postgresql://a@localhost,db.example.com/x", TlsMode::VerifyFull),
            ("postgresql://a@db.example.com/x?sslmode=require", TlsMode::Require),
            ("postgresql://a@db.example.com/x?sslmode=verify-ca", TlsMode::VerifyCa),
            ("postgresql://a@db.example.com/x?sslmode=disable", TlsMode::Disable),
            ("postgresql://a@localhost/x?sslmode=verify-full", TlsMode::VerifyFull),
        ];
        for (url, expected) in cases {
            let address = Address::resolve(url, &environment(&[])).expect(url);
            assert_eq!(address.tls, expected, "{url}");
        }
        for url in [
            "mysql://a@b/c",
            "postgresql://a@b/c?sslmode=maybe",
            "postgresql:///c",
            "postgresql://a@b/c?colour=red",
            "postgresql://a:secret@ive@b/c",
            "postgresql://a:secret?ive@b/c",
        ] {
            let error = Address::resolve(url, &environment(&[])).expect_err(url);
            assert_eq!(error.kind, ErrorKind::Usage, "{url}");
            assert!(!format!("{error:?}").contains("ive"), "{error:?}");
        }
    }

    #[test]
    fn a_password_comes_from_where_nobody_sees_it_and_is_never_shown() {
        let with = environment(&[("PGPASSWORD", "p:w/d@"), ("URL", "postgresql://a:q@h:7/x")]);
        let resolve = |url: &str| Address::resolve(url, &with).expect(url);
        let plain = resolve("postgresql://ana@db.example.com/fleet");
        assert_eq!((plain.password(), plain.in_address), (Some("p:w/d@"), false));
        assert!(resolve("postgresql://ana:pass@h/x").in_address);
        assert!(!resolve("postgresql://ana:${env:PGPASSWORD}@h/x").in_address);
        assert_eq!(resolve("postgresql://ana:${env:PGPASSWORD}@h/x").password(), Some("p:w/d@"));
        let whole = resolve("${env:URL}");
        assert_eq!((whole.password(), whole.shown().as_str()), (Some("q"), "h:7/x"));
        let shown = format!("{plain:?} {}", plain.shown());
        assert_eq!(shown, "Address(db.example.com:5432/fleet) db.example.com:5432/fleet");
        let error = Address::resolve("${env:NONE}", &with).expect_err("not set");
        assert!(error.message.contains("NONE"), "{error}");
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let text = "# a comment\nh:5432:x:bob:no\n*:*:*:ana:a\\:b\\\\c:d\n*:*:*:*:all";
        assert_eq!(password_of(text, ["h", "5432", "x", "ana"]).as_deref(), Some("a:b\\c:d"));
        assert_eq!(password_of(text, ["h", "5432", "x", "eve"]).as_deref(), Some("all"));
        assert_eq!(password_of("h:1:x:ana", ["h", "1", "x", "ana"]), None);
    }
}
