//! The connection, and the lock that keeps a second publisher of the same archive out.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};

use crate::host::Clock;
use crate::model::{Error, ErrorKind};

use super::address::{Address, TlsMode};
use super::error::{explain, sql_state};
use super::tls::connector;

/// How long the server may take to notice that a publisher before us was killed.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// How often the lock is tried meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(250);
/// What every transaction here takes for granted. Nobody waits for another one's lock for ever.
const SETTINGS: &str = "SET timezone = 'UTC'; SET lock_timeout = '60s'";

/// Connects; tells whether what is said can be read on the way.
pub(crate) async fn connect(address: &Address) -> Result<(Client, bool), Error> {
    let first = attempt(address, address.config.get_ssl_mode()).await;
    let (client, open) = match first {
        Err(error)
            if address.tls == TlsMode::Prefer
                && error.message.contains("server does not support TLS") =>
        {
            (attempt(address, SslMode::Disable).await?, true)
        }
        other => (other?, address.tls == TlsMode::Disable),
    };
    client
        .batch_execute(SETTINGS)
        .await
        .map_err(|error| explain(&error, "cannot begin", &address.shown()))?;
    Ok((client, open))
}

async fn attempt(address: &Address, mode: SslMode) -> Result<Client, Error> {
    let mut config = address.config.clone();
    config.ssl_mode(mode);
    let failed = |error: tokio_postgres::Error| {
        explain(&error, "cannot connect to the database", &address.shown())
    };
    if mode == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(connector(address)?).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(client)
}

/// Takes the lock of an archive and a schema for as long as the connection lasts. Engines without
/// such locks say so: there the step in the mark alone keeps two publishers apart.
pub(crate) async fn lock(
    client: &Client,
    (archive, schema): (&str, &str),
    address: &Address,
    clock: &dyn Clock,
) -> Result<bool, Error> {
    let digest = Sha256::digest(format!("windrow publish {archive} {schema}"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let key = i64::from_be_bytes(first);
    let began = clock.monotonic();
    loop {
        match client.query_one("SELECT pg_try_advisory_lock($1::bigint)", &[&key]).await {
            Ok(row) if row.get(0) => return Ok(true),
            Ok(_) if clock.monotonic().saturating_sub(began) >= LOCK_WAIT => break,
            Ok(_) => clock.pause(LOCK_POLL).await,
            Err(error) if matches!(sql_state(&error), Some("42883" | "0A000")) => return Ok(false),
            Err(error) => return Err(explain(&error, "cannot begin", &address.shown())),
        }
    }
    let message = format!("another windrow publishes this archive to {}", address.shown());
    Err(Error::new(ErrorKind::Held, message).help("wait until it is done, then run it again"))
}
