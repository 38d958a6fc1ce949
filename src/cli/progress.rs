//! What a person sees on a terminal while a sync runs; nothing in a pipe.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::count;
use crate::model::printable;
use crate::sync::{ProgressEvent, ProgressSink};

use super::output::Output;

/// A bar on stderr, drawn only where a person watches. All text in it is escaped here.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar by a template of windrow's own.
    pub fn new(output: &Output, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), output.bar_target());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Begins anew, for something of this name.
    pub fn begin(&self, name: &str, length: u64) {
        self.0.set_prefix(printable(name));
        self.0.set_position(0);
        self.0.set_length(length);
    }

    /// So much more is done.
    pub fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// So much more is to be done.
    pub fn lengthen(&self, by: u64) {
        self.0.inc_length(by);
    }

    /// What is told beside the bar.
    pub fn tell(&self, text: &str) {
        self.0.set_message(printable(text));
    }

    /// Says something in a line above the bar.
    pub fn say(&self, line: &str) {
        self.0.println(printable(line));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// The bar of a sync.
pub struct SyncProgressBar {
    bar: Bar,
    received: AtomicU64,
}

impl SyncProgressBar {
    /// A display at which no fetch has ended yet.
    pub fn new(output: &Output) -> Self {
        let template = "{spinner} {prefix} {wide_bar:.cyan/blue} {pos}/{len}  {msg}";
        Self { bar: Bar::new(output, template), received: AtomicU64::new(0) }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

impl ProgressSink for SyncProgressBar {
    fn notice(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::StreamBegins { stream, due } => {
                self.bar.begin(stream, *due);
            }
            ProgressEvent::MoreDue { due } => self.bar.lengthen(*due),
            ProgressEvent::PageWritten { outcomes, .. } => {
                let before = self.received.fetch_add(outcomes.received, Ordering::Relaxed);
                self.bar.tell(&format!("{} records", count(before + outcomes.received)));
            }
            ProgressEvent::FetchDone { .. } => self.bar.advance(1),
            ProgressEvent::FetchBroken { window_key, message } => {
                let window =
                    window_key.window.map(|window| format!(" {window}")).unwrap_or_default();
                self.bar.say(&format!("  {}{window}: {message}", window_key.stream));
            }
        }
    }
}
