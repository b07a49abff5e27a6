//! A bar for what takes long: on a terminal only, and only once it has taken some.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::control::Progress;

/// A bar that appears with the first progress that is told.
#[derive(Debug, Default)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Moves it on.
    pub(super) fn show(&mut self, progress: Progress) {
        if progress.done >= progress.total {
            return;
        }
        let bar = self.0.get_or_insert_with(|| {
            let bar = ProgressBar::new(progress.total);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len} messages, {eta} left")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_position(progress.done);
    }
}

impl Drop for Bar {
    /// What is printed next is not to stand beside it.
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
