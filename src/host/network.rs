//! What the operating system says of its network links, to make an offline message exact and to
//! wake up early when the network comes back.

use std::future::poll_fn;
use std::time::Duration;

use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;

use super::clock::{Clock, Pause, SystemClock};

/// How often the links are looked at where the system does not tell, seconds: a network that came
/// back is used within that time, and a look is one system call.
const LINKS_POLL_SECONDS: u64 = 2;
/// The system first tells what is there already, milliseconds: what it tells within that time is no
/// network that came back.
const KNOWN_MS: u64 = 500;

/// The links of the machine to its networks.
pub trait Network: Send + Sync {
    /// `Some(false)` when every link but loopback is down, `None` when nobody can tell.
    fn link_is_up(&self) -> Option<bool>;
    /// Ends when an address has come since it was called: a cable, a Wi-Fi, a VPN. It may never.
    fn comes_back(&self) -> Pause<'_>;
}

/// The links, as the operating system reports them.
pub struct SystemNetwork;

impl Network for SystemNetwork {
    /// Reads `/sys/class/net` on Linux. "unknown" counts as up: tunnels report it while they work.
    fn link_is_up(&self) -> Option<bool> {
        let links = std::fs::read_dir("/sys/class/net").ok()?;
        let mut states = links
            .flatten()
            .filter(|link| link.file_name() != "lo")
            .filter_map(|link| std::fs::read_to_string(link.path().join("operstate")).ok());
        Some(states.any(|state| matches!(state.trim(), "up" | "unknown")))
    }

    fn comes_back(&self) -> Pause<'_> {
        Box::pin(async {
            match IfWatcher::new() {
                Ok(watcher) => an_address_comes(watcher).await,
                Err(_) => self.a_link_comes().await,
            }
        })
    }
}

/// Listens to netlink on Linux, and to what other systems have.
async fn an_address_comes(mut watcher: IfWatcher) {
    let clock = SystemClock::new();
    let mut known = clock.pause(Duration::from_millis(KNOWN_MS));
    let mut is_known = false;
    loop {
        tokio::select! {
            biased;
            event = poll_fn(|context| watcher.poll_if_event(context)) => match event {
                Ok(IfEvent::Up(net)) if is_known && !net.addr().is_loopback() => return,
                Ok(_) => {}
                // The system has stopped telling; the usual wait remains.
                Err(_) => std::future::pending().await,
            },
            () = &mut known, if !is_known => is_known = true,
        }
    }
}

impl SystemNetwork {
    async fn a_link_comes(&self) {
        let clock = SystemClock::new();
        let mut was_up = self.link_is_up();
        loop {
            clock.pause(Duration::from_secs(LINKS_POLL_SECONDS)).await;
            let is_up = self.link_is_up();
            if was_up == Some(false) && is_up == Some(true) {
                return;
            }
            was_up = is_up;
        }
    }
}
