//! The clock, the files and the surroundings of a simulated laptop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use windrow::host::{Clock, Environment, Files, Network, Pause};

use crate::disk::{Op, Touch};
use crate::scenario::instant;
use crate::vfs::SharedDisk;

/// Time that passes when it is waited for. The laptop's wall clock may be wrong; the true one,
/// which is also the API's, is not.
pub struct SimClock {
    began: i64,
    elapsed: AtomicI64,
    skew: AtomicI64,
    on_wait: Mutex<Option<Probe>>,
}

/// Another program that looks while somebody waits.
pub type Probe = Arc<dyn Fn() + Send + Sync>;

/// A wait that is long enough for a person: the lane beside it has come to rest by then.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Turns that the other lane gets: it comes to rest in one, and may have had this round's already.
const TURNS: u32 = 3;

/// Lets the other lane go on until it has nothing more to do, as it does while this one waits.
pub async fn rest() {
    let mut turns = 0;
    std::future::poll_fn(|context| {
        if turns == TURNS {
            return Poll::Ready(());
        }
        turns += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl SimClock {
    /// A clock that shows `began`, milliseconds since 1970.
    pub fn new(began: i64) -> Self {
        Self {
            began,
            elapsed: AtomicI64::new(0),
            skew: AtomicI64::new(0),
            on_wait: Mutex::new(None),
        }
    }

    /// The true time.
    pub fn truth(&self) -> i64 {
        self.began + self.elapsed.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub fn pass(&self, millis: i64) {
        self.elapsed.fetch_add(millis.max(0), Ordering::Relaxed);
    }

    /// Sets who looks while somebody waits.
    pub fn on_wait(&self, probe: Option<Probe>) {
        *self.on_wait.lock().expect("no holder panics") = probe;
    }

    /// Sets how far the wall clock is wrong.
    pub fn set_skew(&self, millis: i64) {
        self.skew.store(millis, Ordering::Relaxed);
    }

    /// How far the wall clock is wrong.
    pub fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }
}

impl Clock for SimClock {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        instant(self.truth() + self.skew())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed.load(Ordering::Relaxed).cast_unsigned())
    }

    fn pause(&self, duration: Duration) -> Pause<'_> {
        Box::pin(async move {
            let probe = self.on_wait.lock().expect("no holder panics").clone();
            if let Some(probe) = probe.filter(|_| duration >= LONG_WAIT) {
                rest().await;
                probe();
            }
            self.pass(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4));
        })
    }
}

/// Names and removals, recorded beside what the VFS sees.
pub struct SimFiles {
    /// The disk.
    pub disk: SharedDisk,
}

impl SimFiles {
    fn touch(&self, touch: Touch) -> std::io::Result<()> {
        let touched = self.disk.lock().expect("no holder panics").touch(touch);
        touched.map_err(|_| std::io::Error::other("injected"))
    }

    fn log(&self, op: Op) {
        self.disk.lock().expect("no holder panics").log(op);
    }
}

fn name(path: &Path) -> std::sync::Arc<str> {
    path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default().into()
}

impl Files for SimFiles {
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.touch(Touch::Sync)?;
        self.log(Op::Sync { file: name(from) });
        self.touch(Touch::Delete)?;
        self.log(Op::Rename { from: name(from), to: name(to) });
        std::fs::rename(from, to)?;
        self.touch(Touch::Sync)?;
        self.log(Op::SyncFolder);
        Ok(())
    }

    fn make_durable(&self, path: &Path) -> std::io::Result<()> {
        self.touch(Touch::Sync)?;
        self.log(Op::Sync { file: name(path) });
        self.log(Op::SyncFolder);
        Ok(())
    }

    fn keep_name(&self, _path: &Path) -> std::io::Result<()> {
        self.touch(Touch::Sync)?;
        self.log(Op::SyncFolder);
        Ok(())
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.touch(Touch::Delete)?;
        std::fs::remove_file(path)?;
        self.log(Op::Delete { file: name(path), durable: false });
        Ok(())
    }
}

/// Links that are up.
pub struct SimNetwork;

impl Network for SimNetwork {
    fn link_is_up(&self) -> Option<bool> {
        None
    }

    fn comes_back(&self) -> Pause<'_> {
        Box::pin(std::future::pending())
    }
}

/// Surroundings without variables, which keep what is to be kept in one folder.
pub struct SimEnvironment {
    /// That folder.
    pub state: PathBuf,
}

impl Environment for SimEnvironment {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn secret_file(&self, _path: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn state_folder(&self) -> Option<PathBuf> {
        Some(self.state.clone())
    }
}
