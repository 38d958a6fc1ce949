//! `windrow outbox serve`: the local gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::args_outbox::OutboxServe;
use crate::cli::global::Global;
use crate::cli::output::Output;
use crate::cli::workspace::{load_for_sync, load_secrets, network, parse_duration, waiting_for};
use crate::host::Host;
use crate::host::files::{look_own, make_private_file, make_private_folder, mode_for_others};
use crate::model::{Command, Error, ErrorKind, ExitCode};
use crate::outbox::{GatewayParts, SendParts, TOKEN_CHARS_MIN, prepare_gateway, serve_gateway};
use crate::store::holder_note;

use super::{folder_of, open_outbox};

pub fn run(
    args: &OutboxServe,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let secrets = load_secrets(&definition, folder_of(global), host)?;
    let wait = parse_duration(&args.wait)?;
    // Whoever finds the port open finds the whole token: first the file, then the port.
    let (token_file, token) = token(args, host)?;
    let (listener, address) = listen(args)?;
    let outbox = open_outbox(&definition, Some(wait), host)?;
    let note = holder_note(Command::OutboxServe, host.clock.now());
    let sending = waiting_for(Some(wait), host, || prepare_gateway(&outbox, host, &note))?;
    let transports = network(&definition, false)?;
    let send = SendParts { definition: &definition, host, transports, secrets };
    let parts = GatewayParts { listener, address, token: &token, send, sending };
    let mut told = Ok(());
    serve_gateway(outbox, parts, || {
        told = tell(address, &token_file, output);
        told.is_ok()
    })?;
    told?;
    Ok(host.stop.cause().map_or(ExitCode::Done, ExitCode::from))
}

fn tell(address: SocketAddr, token_file: &Path, output: &Output) -> Result<(), Error> {
    let listening = format!("http://{address}");
    let token_file = token_file.display().to_string();
    if output.json() {
        return output.json_line(&json!({ "listening": listening, "token_file": token_file }));
    }
    output.result(&format!("{listening}\n"))?;
    output.say(&format!(
        "a request to /SOURCE/PATH with an Idempotency-Key is kept and sent once\n\
         the token for `Authorization: Bearer` is in {}\nCtrl-C ends it\n",
        crate::model::printable(&token_file)
    ));
    Ok(())
}

/// The listener, and where it listens.
fn listen(args: &OutboxServe) -> Result<(TcpListener, SocketAddr), Error> {
    let wanted = args.listen;
    if !wanted.ip().is_loopback() && !args.allow_remote {
        let message = format!("{wanted} can be reached from other machines");
        return Err(Error::new(ErrorKind::Unsafe, message).help(
            "listen at 127.0.0.1, or say `--allow-remote`: the token and all that is sent go \
             over the wire unencrypted",
        ));
    }
    let listener = TcpListener::bind(wanted);
    listener.and_then(|listener| Ok((listener.local_addr()?, listener))).map_or_else(
        |error| {
            let message = format!("cannot listen at {wanted}: {error}");
            Err(Error::usage(message).help("name another port with --listen"))
        },
        |(address, listener)| Ok((listener, address)),
    )
}

/// The token and its file, which is made where it is not there.
fn token(args: &OutboxServe, host: &Host) -> Result<(PathBuf, String), Error> {
    let path = match &args.token_file {
        Some(path) => path.clone(),
        None => {
            let folder = host.environment.state_folder().ok_or_else(|| {
                Error::usage("there is no state folder to keep the gateway's token in")
                    .help("name a file for it with --token-file")
            })?;
            let folder = folder.join("outbox");
            make_private_folder(&folder)
                .map_err(|error| token_file_error("make", &folder, &error))?;
            folder.join("gateway.token")
        }
    };
    if path.symlink_metadata().is_err() {
        let token = format!("{:032x}{:032x}", host.random.bits(), host.random.bits());
        make_private_file(&path, &format!("{token}\n"))
            .map_err(|error| token_file_error("make", &path, &error))?;
        return Ok((path, token));
    }
    if let Some(mode) = mode_for_others(&path) {
        let message = format!("others can read the token file {} ({mode:o})", path.display());
        let help = "make it its owner's alone (`chmod 600`), or remove it to have a new one made";
        return Err(Error::new(ErrorKind::Unsafe, message).help(help));
    }
    if args.token_file.is_none() {
        look_own(&path).map_err(|error| token_file_error("read", &path, &error))?;
    }
    let token = host
        .environment
        .secret_file(&path)
        .map_err(|error| token_file_error("read", &path, &error))?;
    if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("the token file {} holds no token", path.display());
        let help = format!(
            "a token is {TOKEN_CHARS_MIN} or more visible ASCII characters; remove the file to \
             have one made"
        );
        return Err(Error::usage(message).help(help));
    }
    Ok((path, token))
}

fn token_file_error(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    let failure = Error::file(ErrorKind::Storage, &format!("{doing} {}", path.display()), error);
    match failure.kind {
        ErrorKind::Unsafe => failure,
        _ => failure.help("name another file with --token-file"),
    }
}
