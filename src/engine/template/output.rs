//! Where a template's output goes: memory, up to a limit.

use std::io;

use super::helpers::BYTES;

/// What has been printed so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Whether something did not fit.
    pub(super) is_full: bool,
}

impl Output {
    /// The text.
    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.bytes).expect("Handlebars writes whole texts")
    }
}

impl io::Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > BYTES {
            self.is_full = true;
            return Err(io::Error::other("the output is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
