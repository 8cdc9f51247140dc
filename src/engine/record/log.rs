//! What a handler printed on stderr during one run, with times: all of it, or its beginning and its end.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::redact::Secrets;

/// How much is kept of a run's log: so much of its beginning, in bytes.
pub const LOG_HEAD_BYTES: usize = 16 << 10;
/// And so much of its end, in bytes; one line at least.
pub const LOG_TAIL_BYTES: usize = 48 << 10;

/// What a line takes beside its text, in bytes.
const OVERHEAD: usize = 32;
/// More than a packed log can hold, in bytes: what secrets are replaced by may be longer than they are.
const UNPACKED_LIMIT: u64 = 4 << 20;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// When it was printed.
    pub at: Timestamp,
    /// As it was printed; in front there may be how much it matters, as in `debug: …`.
    pub text: String,
}

/// The log of a run. What does not fit is left out of the middle.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The first lines.
    pub head: Vec<LogLine>,
    /// How many lines are left out after those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// The last lines, where there are more than the first ones.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub tail: VecDeque<LogLine>,
    #[serde(skip)]
    head_bytes: usize,
    #[serde(skip)]
    tail_bytes: usize,
}

impl PartialEq for Log {
    /// One that was read back does not count its bytes any more.
    fn eq(&self, other: &Self) -> bool {
        (&self.head, self.left_out, &self.tail) == (&other.head, other.left_out, &other.tail)
    }
}

impl Log {
    /// Adds a line.
    pub fn push(&mut self, at: Timestamp, text: &str) {
        let (line, bytes) = (LogLine { at, text: text.to_owned() }, text.len() + OVERHEAD);
        if self.tail.is_empty() && self.head_bytes + bytes <= LOG_HEAD_BYTES {
            self.head_bytes += bytes;
            return self.head.push(line);
        }
        self.tail_bytes += bytes;
        self.tail.push_back(line);
        while self.tail_bytes > LOG_TAIL_BYTES && self.tail.len() > 1 {
            let Some(oldest) = self.tail.pop_front() else { return };
            self.tail_bytes -= oldest.text.len() + OVERHEAD;
            self.left_out += 1;
        }
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Takes out what it shows of secrets.
    pub(super) fn hide(&mut self, secrets: &Secrets) {
        hide(self.head.iter_mut().collect(), secrets);
        hide(self.tail.iter_mut().collect(), secrets);
    }

    /// As few bytes: what programs print repeats itself.
    pub(super) fn pack(&self) -> Option<Box<[u8]>> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&serde_json::to_vec(self).ok()?).ok()?;
        Some(packer.finish().ok()?.into_boxed_slice())
    }

    /// From what [`Self::pack`] has made.
    pub(super) fn unpack(packed: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        DeflateDecoder::new(packed).take(UNPACKED_LIMIT).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// All lines at once: what is told as a secret may begin in the line before.
fn hide(lines: Vec<&mut LogLine>, secrets: &Secrets) {
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let hidden = secrets.lines(&texts.join("\n"));
    let mut hidden = hidden.split('\n');
    for line in lines {
        hidden.next().unwrap_or_default().clone_into(&mut line.text);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: usize) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    fn log(lines: impl IntoIterator<Item = String>) -> Log {
        let mut log = Log::default();
        lines.into_iter().enumerate().for_each(|(second, line)| log.push(at(second), &line));
        log
    }

    #[test]
    fn a_short_log_is_whole_and_a_long_one_has_its_ends() {
        let short = log((0..100).map(|n| format!("line {n}")));
        assert_eq!((short.head.len(), short.left_out, short.tail.len()), (100, 0, 0));
        assert_eq!(short.head[7], LogLine { at: at(7), text: "line 7".to_owned() });

        let long = log((0..10_000).map(|n| format!("line {n}")));
        assert_eq!(long.head.len() + long.left_out + long.tail.len(), 10_000);
        assert_eq!(long.head.last().unwrap().at, at(long.head.len() - 1));
        assert_eq!(long.tail[0].at, at(long.head.len() + long.left_out));
        assert_eq!(long.tail.back().unwrap().text, "line 9999");
        let bytes = |text: usize, lines: usize| text + lines * OVERHEAD;
        let of = |lines: &mut dyn Iterator<Item = &LogLine>| {
            lines.map(|line| bytes(line.text.len(), 1)).sum::<usize>()
        };
        assert!(of(&mut long.head.iter()) <= LOG_HEAD_BYTES && of(&mut long.tail.iter()) <= LOG_TAIL_BYTES);
        // A line that fits by itself does not go before those that did not.
        let odd = log(["x".repeat(LOG_HEAD_BYTES), "short".to_owned(), "y".repeat(LOG_TAIL_BYTES)]);
        assert_eq!((odd.head.len(), odd.left_out, odd.tail.len()), (0, 2, 1));
    }

    #[test]
    fn a_log_comes_back_as_it_was_packed() {
        for lines in [0, 3, 10_000] {
            let log = log((0..lines).map(|n| format!("a line like all the others, but for {n}")));
            let packed = log.pack().unwrap();
            assert!(packed.len() < 20_000, "{}", packed.len());
            assert_eq!(Log::unpack(&packed), Some(log));
        }
        assert_eq!(Log::unpack(b"nonsense"), None);
    }

    #[test]
    fn secrets_of_several_lines_are_hidden_and_lines_keep_their_places() {
        let secret =
            json!({"kind": "Secret", "data": {"key": "-----BEGIN-----\nab\nsecret-line\n-----END-----"}});
        let secrets = Secrets::of(None, Some(&secret));
        let lines = [
            "before",
            "-----BEGIN-----",
            "ab",
            "secret-line",
            "-----END-----",
            "password:",
            "hunter2",
            "after",
        ];
        let mut log = log(lines.map(str::to_owned));
        log.hide(&secrets);
        let texts: Vec<&str> = log.head.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            ["before", "<redacted: 44 bytes>", "", "", "", "password:", "<redacted: 7 bytes>", "after"]
        );
    }
}
