//! Which physical line a record begins on.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

/// Passes bytes on and remembers where lines with content begin.
///
/// The CSV reader knows the byte at which it began to look for a record. Between that byte and the record itself lie the rest of the line
/// break before (the `\n` of `\r\n`) and empty lines, which it skips without counting them in.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    /// The number of the line that the next byte is on; the first is 1.
    line: u64,
    offset: u64,
    last: u8,
    /// Offset and number of each line that was read and that no record was looked up behind.
    begun: VecDeque<(u64, u64)>,
}

impl<R> Lines<R> {
    pub(super) fn new(inner: R) -> Lines<R> {
        Lines { inner, line: 1, offset: 0, last: b'\n', begun: VecDeque::new() }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    /// The line of the record that was looked for from byte `offset` on. Offsets must not go back.
    pub(super) fn of(&mut self, offset: u64) -> u64 {
        while self.begun.front().is_some_and(|(begin, _)| *begin < offset) {
            self.begun.pop_front();
        }
        self.begun.front().map_or(self.line, |(_, line)| *line)
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for &byte in &buffer[..count] {
            match byte {
                b'\n' if self.last == b'\r' => {}
                b'\n' | b'\r' => self.line += 1,
                _ if matches!(self.last, b'\n' | b'\r') => {
                    self.begun.push_back((self.offset, self.line));
                }
                _ => {}
            }
            self.last = byte;
            self.offset += 1;
        }
        Ok(count)
    }
}
