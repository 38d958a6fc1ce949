//! The local gateway: any program writes to it as it would to the API, with an `Idempotency-Key`,
//! and what it writes is an entry of the outbox.
//!
//! `ask` says what a request means, `answer` what its program is told, `key`, `own_key`, `prefer`,
//! `problem` and `framing` know one rule of HTTP each: functions from values to values. `server` is
//! the shell towards programs, `connections` knows which of them have shown the token, and `lane`
//! is the shell towards the archive and the API.

mod answer;
mod ask;
mod connections;
mod copying;
mod framing;
mod key;
mod lane;
mod lookup;
mod noting;
mod own_key;
mod prefer;
mod problem;
mod reply;
mod server;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::host::Host;
use crate::model::{Error, ErrorKind};
use crate::outbox::Outbox;

use super::send::{SendParts, SendRound};
use super::sender::{Senders, Taken, sender_for};

use ask::Gate;
use lane::Lane;
use server::Gateway;

/// Requests that wait for the lane: more programs than that wait at their own end.
const ORDERS_MAX: usize = 256;
/// The shortest token, characters: 64 bits in hexadecimal, which nobody guesses over a network.
pub const TOKEN_CHARS_MIN: usize = 16;

/// What a gateway serves with.
pub struct GatewayParts<'a> {
    /// Where programs come in.
    pub listener: TcpListener,
    /// The address that the listener is bound to.
    pub address: SocketAddr,
    /// What programs must know.
    pub token: &'a str,
    /// What it sends with.
    pub send: SendParts<'a>,
    /// That it may send.
    pub sending: SendPermit,
}

/// The right to send an outbox's entries.
pub struct SendPermit {
    /// The sender that queues.
    sender: String,
    taken: Taken,
}

/// Takes the right to send the outbox's entries. The error says who has it; `note` is what they
/// are told about this process.
pub fn prepare_gateway(outbox: &Outbox, host: &Host, note: &str) -> Result<SendPermit, Error> {
    let own = sender_for(outbox, host)?;
    // What others queue from now on is for this sender, and is sent from here.
    outbox.transaction(|tx| tx.keep_sender(&own, host.clock.now()))?;
    let senders = Senders::of(outbox.path(), host)?;
    let candidates = senders.homes(|| outbox.outbox_senders())?;
    let mut taken = senders.take(candidates, note)?;
    if let (Some(holder), false) = (&taken.held_by, taken.senders.contains(&own)) {
        let holder = if holder.is_empty() { "another process" } else { holder };
        let message = format!("{holder} is sending this outbox");
        let help = "wait until it is done (`--wait 5m` does), or stop it";
        return Err(Error::new(ErrorKind::Held, message).help(help));
    }
    // Before the locks were had, another process may have sent from a copy.
    let home = senders.homes(|| outbox.outbox_senders())?;
    taken.senders.retain(|sender| home.contains(sender));
    Ok(SendPermit { sender: own, taken })
}

/// Serves until the host's stop is asked for. `ready` is called once requests are taken, and says
/// whether to go on.
pub fn serve_gateway(
    outbox: Outbox,
    parts: GatewayParts<'_>,
    ready: impl FnOnce() -> bool,
) -> Result<(), Error> {
    let (orders, work) = mpsc::channel(ORDERS_MAX);
    let (questions, asked) = mpsc::channel(ORDERS_MAX);
    lookup::start(outbox.path(), asked)?;
    let GatewayParts { listener, address, token, send, sending } = parts;
    let SendPermit { sender, taken } = sending;
    let host = send.host.clone();
    let gateway = Arc::new(Gateway::new(
        Gate::new(address, token),
        send.definition.clone(),
        send.secrets.clone(),
        sender,
        host.clone(),
        (orders, questions),
    ));
    let failed = |error: std::io::Error| Error::new(ErrorKind::Bug, error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listener = {
        let _inside = runtime.enter();
        listener.set_nonblocking(true).map_err(failed)?;
        tokio::net::TcpListener::from_std(listener).map_err(failed)?
    };
    let handle = runtime.handle().clone();
    let (over, ended) = oneshot::channel::<()>();
    let (noting, notes) = noting::noting();
    let senders = Senders::of(outbox.path(), &host)?;
    let served = std::thread::scope(|scope| {
        let notes = std::thread::Builder::new()
            .name("notes".to_owned())
            .spawn_scoped(scope, move || notes.keep(&senders));
        notes.map_err(failed)?;
        let lane = std::thread::Builder::new().name("outbox".to_owned()).spawn_scoped(
            scope,
            move || -> Result<(), Error> {
                // Dropped when the lane ends, also by an error: that ends the server.
                let _over = over;
                let senders = Senders::of(outbox.path(), send.host)?;
                let sender = SendRound::new(&outbox, send, senders, taken.senders.clone());
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let lane = Lane::new(sender, handle, noting)?;
                runtime.map_err(failed)?.block_on(lane.run(work))
            },
        );
        let lane = lane.map_err(failed)?;
        if ready() {
            runtime.block_on(server::serve(gateway, listener, async {
                let _ = ended.await;
            }));
        } else {
            // With nobody left to order anything, the lane ends.
            drop(gateway);
        }
        lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    // What is still on the wire has been given its time.
    runtime.shutdown_background();
    served
}
