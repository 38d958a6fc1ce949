//! What the operating system says of its network links, to make an offline message exact.

/// The machine's links.
pub trait Network: Send + Sync {
    /// `Some(false)` when every link but loopback is down, `None` when nobody can tell.
    fn link_is_up(&self) -> Option<bool>;
}

/// The real links.
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
}
