//! Reads big-endian numbers and vectors with a length in front. Refuses to read past the end: `None`.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.number(2).and_then(|number| u16::try_from(number).ok())
    }

    /// What follows a length of so many bytes.
    pub fn vector(&mut self, length_bytes: usize) -> Option<Cursor<'a>> {
        let length = self.number(length_bytes)?;
        self.take(length).map(Cursor)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
