//! Connections that are open: who has shown the token, and who has to go for the next one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Connections at once of which no request has shown the token yet. A program that has it shows it
/// with its first bytes, so that the oldest of them is one that has not and will not.
pub(crate) const UNKNOWN_MAX: usize = 256;
/// The same of one address, so that one machine cannot push out what others have just opened.
pub(crate) const UNKNOWN_PER_PEER_MAX: usize = 128;

/// The connections that have not shown the token, the oldest first.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Unknown>>);

#[derive(Default)]
struct Unknown {
    next: u64,
    open: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
}

/// The place of one connection among them; it is given up when this is dropped.
pub(crate) struct Ticket {
    connections: Connections,
    number: u64,
}

impl Connections {
    fn unknown(&self) -> MutexGuard<'_, Unknown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in, and has the oldest one go where there are too many. What is given
    /// besides the ticket ends when this one has to go.
    pub(crate) fn admit(&self, peer: IpAddr) -> (Ticket, oneshot::Receiver<()>) {
        let (leave, left) = oneshot::channel();
        let mut unknown = self.unknown();
        let of_peer = unknown.open.iter().filter(|(_, (from, _))| *from == peer);
        let of_peer: Vec<u64> = of_peer.map(|(number, _)| *number).collect();
        if let (Some(oldest), true) = (of_peer.first(), of_peer.len() >= UNKNOWN_PER_PEER_MAX) {
            unknown.open.remove(oldest);
        }
        if unknown.open.len() >= UNKNOWN_MAX {
            unknown.open.pop_first();
        }
        let number = unknown.next;
        unknown.next += 1;
        unknown.open.insert(number, (peer, leave));
        (Ticket { connections: self.clone(), number }, left)
    }

    /// Has the oldest one go, for want of room.
    pub(crate) fn drop_oldest(&self) {
        self.unknown().open.pop_first();
    }
}

impl Ticket {
    /// Its program has shown the token: it stays.
    pub(crate) fn is_known(&self) {
        if let Some((_, leave)) = self.connections.unknown().open.remove(&self.number) {
            // Nobody is told by this that there is nothing more to come.
            let _ = leave.send(());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.unknown().open.remove(&self.number);
    }
}

/// Ends when the connection has to go; never for one that is known.
pub(crate) async fn told_to_go(left: oneshot::Receiver<()>) {
    if left.await.is_ok() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_oldest_without_a_token_goes_and_the_known_ones_stay() {
        let connections = Connections::default();
        let mut open: Vec<_> =
            (0..UNKNOWN_PER_PEER_MAX).map(|_| connections.admit(peer(1))).collect();
        let gone = |open: &mut Vec<(Ticket, oneshot::Receiver<()>)>| -> Vec<usize> {
            let mut gone = Vec::new();
            for (at, (_, left)) in open.iter_mut().enumerate() {
                if left.try_recv() == Err(oneshot::error::TryRecvError::Closed) {
                    gone.push(at);
                }
            }
            gone
        };
        open[0].0.is_known();
        assert_eq!(open[0].1.try_recv(), Ok(()));
        open.push(connections.admit(peer(1)));
        assert_eq!(gone(&mut open)[1..], [] as [usize; 0], "there was room for one more");
        open.push(connections.admit(peer(1)));
        assert_eq!(gone(&mut open)[1..], [1], "the oldest of this peer");
        for number in 0..UNKNOWN_MAX - UNKNOWN_PER_PEER_MAX {
            open.push(connections.admit(peer(2 + u8::try_from(number % 2).expect("small"))));
        }
        assert_eq!(gone(&mut open)[1..], [1]);
        open.push(connections.admit(peer(9)));
        assert_eq!(gone(&mut open)[1..], [1, 2], "the oldest of all");
        drop(open);
        assert!(connections.unknown().open.is_empty());
    }
}
