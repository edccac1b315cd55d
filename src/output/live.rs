//! Lines on stderr that are redrawn while work goes on. Off a terminal it draws nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Human, width};

/// A block of lines; gone when dropped.
pub struct Live {
    block: Option<ProgressBar>,
    color: bool,
}

impl Live {
    pub(super) fn new(block: Option<ProgressBar>, color: bool) -> Live {
        if let Some(block) = &block {
            let style = ProgressStyle::with_template("{msg}");
            block.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            block.set_draw_target(ProgressDrawTarget::stderr());
        }
        Live { block, color }
    }

    /// Whether anybody sees it.
    pub fn is_shown(&self) -> bool {
        self.block.is_some()
    }

    /// Lines that the terminal has; 24 where there is none.
    pub fn rows(&self) -> usize {
        const WITHOUT_TERMINAL: usize = 24;
        match rustix::termios::tcgetwinsize(std::io::stderr()) {
            Ok(size) if size.ws_row > 0 => size.ws_row.into(),
            _ => WITHOUT_TERMINAL,
        }
    }

    /// Replaces the block by what `draw` writes; not called where nobody sees it.
    pub fn draw(&self, draw: impl FnOnce(&mut Human<'_>) -> std::io::Result<()>) {
        let Some(block) = &self.block else { return };
        let mut text = Vec::new();
        // Writing into memory cannot fail. The width is asked for anew: terminals are resized.
        let _ = draw(&mut Human::new(&mut text, width(&std::io::stderr()), self.color));
        block.set_message(String::from_utf8_lossy(&text).trim_end().to_owned());
        block.tick();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(block) = &self.block {
            block.finish_and_clear();
            block.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}
