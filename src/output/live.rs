//! Lines on stderr that are redrawn while work goes on. Off a terminal it draws nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Human;

/// A block of lines; gone when dropped.
pub struct Live {
    bar: Option<ProgressBar>,
    width: usize,
    color: bool,
}

impl Live {
    pub(super) fn new(shown: bool, width: usize, color: bool) -> Live {
        let bar = shown.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Live { bar, width, color }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Replaces the block by what `draw` writes; not called where nobody sees it.
    pub fn draw(&self, draw: impl FnOnce(&mut Human<'_>) -> std::io::Result<()>) {
        let Some(bar) = &self.bar else { return };
        let mut text = Vec::new();
        // Writing into memory cannot fail.
        let _ = draw(&mut Human::new(&mut text, self.width, self.color));
        bar.set_message(String::from_utf8_lossy(&text).trim_end().to_owned());
        bar.tick();
    }

    /// Prints a line above the block, to stay.
    pub fn log(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.println(line);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
