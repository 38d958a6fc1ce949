//! What a person sees on a terminal while a sync runs; nothing in a pipe.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::printable;
use crate::report::count;
use crate::sync::{Happening, Observer};

/// A bar on stderr.
pub struct Progress {
    bar: ProgressBar,
    received: AtomicU64,
}

impl Progress {
    /// A bar, drawn only where a person watches.
    pub fn new(terminal: bool) -> Self {
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = "{spinner} {prefix} {wide_bar:.cyan/blue} {pos}/{len}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, received: AtomicU64::new(0) }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn notice(&self, happening: &Happening) {
        match happening {
            Happening::StreamBegins { stream, due } => {
                self.bar.set_prefix(stream.clone());
                self.bar.set_position(0);
                self.bar.set_length(*due);
            }
            Happening::MoreDue { due } => self.bar.inc_length(*due),
            Happening::PageWritten { outcomes, .. } => {
                let before = self.received.fetch_add(outcomes.received, Ordering::Relaxed);
                self.bar.set_message(format!("{} records", count(before + outcomes.received)));
            }
            Happening::ReadingDone { .. } => self.bar.inc(1),
            Happening::ReadingBroken { place, message } => {
                let window = place.window.map(|window| format!(" {window}")).unwrap_or_default();
                let message = printable(message);
                self.bar.println(format!("  {}{window}: {message}", place.stream));
            }
        }
    }
}
