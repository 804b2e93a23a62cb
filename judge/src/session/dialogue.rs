//! What is written to an engine, and what is made of what it answers.
//!
//! The cells of a session share the engine's process and can say anything in its name, so nothing in
//! here is believed: what is not understood is output, all lengths are bounded, and a false end ends
//! nothing but the wait for it.

use protocol::{CellError, Display, SessionEvent};
use serde::Deserialize;

use crate::limits::FRAME_BYTES_MAX;

/// From which stream something was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Something heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The engine waits for its first cell.
    Ready,
    /// It cannot start, with what it says.
    Failed(String),
    /// Something for the client, and the bytes that it took.
    Event(SessionEvent, usize),
    /// The cell has ended.
    End(End),
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether without an error.
    pub ok: bool,
    /// Cells counted so far, where the engine counts.
    pub execution_count: Option<u64>,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
}

/// A cell as an engine is asked to run it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its number in this engine.
    pub number: u64,
    /// A word that it cannot guess.
    pub word: &'a str,
    /// Its code.
    pub code: &'a str,
    /// Whether it is left out of the count.
    pub silent: bool,
}

/// How an engine is spoken to.
#[derive(Debug)]
pub enum Protocol {
    /// Requests and answers are lines of JSON.
    Lines(Lines),
    /// A shell that reads commands; marks tell where their output ends.
    Shell(Shell),
}

impl Protocol {
    /// What is written first.
    #[must_use]
    pub fn opening(&self) -> Vec<u8> {
        match self {
            Self::Lines(_) => Vec::new(),
            Self::Shell(shell) => shell.opening(),
        }
    }

    /// A cell as it is written.
    pub fn request(&mut self, asked: &Asked<'_>) -> Vec<u8> {
        match self {
            Self::Lines(lines) => lines.request(asked),
            Self::Shell(shell) => shell.request(asked),
        }
    }

    /// Takes what was heard.
    pub fn hear(&mut self, from: Source, bytes: &[u8]) -> Vec<Heard> {
        match (self, from) {
            (Self::Lines(lines), Source::Stdout) => lines.hear(bytes),
            // What an interpreter says there, it says before it breaks down.
            (Self::Lines(_), Source::Stderr) => text(from, bytes).into_iter().collect(),
            (Self::Shell(shell), _) => shell.hear(from, bytes),
        }
    }

    /// What was heard and waits for more, when there is no more.
    pub fn rest(&mut self) -> Vec<Heard> {
        match self {
            Self::Lines(lines) => {
                text(Source::Stdout, &std::mem::take(&mut lines.buffer)).into_iter().collect()
            }
            Self::Shell(shell) => shell.rest(),
        }
    }
}

fn text(from: Source, bytes: &[u8]) -> Option<Heard> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let name = from.name().to_owned();
    (!text.is_empty()).then_some(Heard::Event(SessionEvent::Stream { name, text }, bytes.len()))
}

/// See [`Protocol::Lines`].
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// How much of the buffer is known to have no end of a line.
    scanned: usize,
    number: u64,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "content", rename_all = "snake_case")]
enum Frame {
    Ready {},
    Failed { message: String },
    Stream { name: String, text: String },
    DisplayData(Display),
    UpdateDisplayData(Display),
    ExecuteResult(Display),
    ClearOutput { wait: bool },
    Error(CellError),
    End { id: u64, ok: bool, execution_count: u64 },
}

impl Lines {
    fn request(&mut self, asked: &Asked<'_>) -> Vec<u8> {
        self.number = asked.number;
        let request =
            serde_json::json!({"id": asked.number, "code": asked.code, "store": !asked.silent});
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.buffer.extend_from_slice(bytes);
        let mut heard = Vec::new();
        let mut start = 0;
        while let Some(end) = find(&self.buffer[self.scanned.max(start)..], b'\n') {
            let end = self.scanned.max(start) + end;
            heard.extend(self.line(&self.buffer[start..end]));
            start = end + 1;
            self.scanned = start;
        }
        self.buffer.drain(..start);
        self.scanned = self.buffer.len();
        if self.buffer.len() > FRAME_BYTES_MAX {
            heard.extend(self.rest_of_line());
        }
        heard
    }

    fn rest_of_line(&mut self) -> Option<Heard> {
        self.scanned = 0;
        text(Source::Stdout, &std::mem::take(&mut self.buffer))
    }

    fn line(&self, line: &[u8]) -> Option<Heard> {
        let Ok(frame) = serde_json::from_slice(line) else {
            let mut line = line.to_vec();
            line.push(b'\n');
            return text(Source::Stdout, &line);
        };
        let event = match frame {
            Frame::Ready {} => return Some(Heard::Ready),
            Frame::Failed { message } => return Some(Heard::Failed(message)),
            Frame::End { id, ok, execution_count } => {
                let end = End { ok, execution_count: Some(execution_count), exit_code: None };
                return (id == self.number).then_some(Heard::End(end));
            }
            Frame::Stream { name, text } => {
                let name = if name == "stderr" { name } else { "stdout".to_owned() };
                SessionEvent::Stream { name, text }
            }
            Frame::DisplayData(display) => SessionEvent::DisplayData(display),
            Frame::UpdateDisplayData(display) => SessionEvent::UpdateDisplayData(display),
            Frame::ExecuteResult(display) => SessionEvent::ExecuteResult(display),
            Frame::ClearOutput { wait } => SessionEvent::ClearOutput { wait },
            Frame::Error(error) => SessionEvent::Error(error),
        };
        Some(Heard::Event(event, line.len()))
    }
}

/// See [`Protocol::Shell`]. An interactive shell, so that an interrupt ends a command and not the
/// shell; each command is one line for it, and one more line prints the marks.
#[derive(Debug)]
pub struct Shell {
    mark: Vec<u8>,
    streams: [Heeded; 2],
    exit_code: Option<i32>,
    opened: bool,
}

/// One output stream of a shell.
#[derive(Debug, Default)]
struct Heeded {
    buffer: Vec<u8>,
    ended: bool,
}

/// Bytes after a mark: a code, and the end.
const CODE_BYTES_MAX: usize = 16;

impl Shell {
    /// A shell whose first mark has this word.
    #[must_use]
    pub fn new(word: &str) -> Self {
        let streams = [Heeded::default(), Heeded::default()];
        Self { mark: mark(word), streams, exit_code: None, opened: false }
    }

    /// Other descriptors for the marks, so that a command that moves its own does not hide them.
    fn opening(&self) -> Vec<u8> {
        let mut lines = b"set +H +m; PS1= PS2= HISTFILE=; exec 18>&1 19>&2\n".to_vec();
        lines.extend(marks(&self.mark));
        lines
    }

    fn request(&mut self, asked: &Asked<'_>) -> Vec<u8> {
        self.mark = mark(asked.word);
        self.exit_code = None;
        for stream in &mut self.streams {
            stream.ended = false;
        }
        let mut lines = format!("eval {} </dev/null\n", quoted(asked.code)).into_bytes();
        lines.extend(marks(&self.mark));
        lines
    }

    fn hear(&mut self, from: Source, bytes: &[u8]) -> Vec<Heard> {
        let stream = &mut self.streams[usize::from(from == Source::Stderr)];
        stream.buffer.extend_from_slice(bytes);
        let mut heard = Vec::new();
        if !stream.ended {
            match stream.take(&self.mark) {
                Taken::Output(output) => heard.extend(text(from, &output)),
                Taken::Ended(output, code) => {
                    heard.extend(text(from, &output));
                    stream.ended = true;
                    if from == Source::Stdout {
                        self.exit_code = code;
                    }
                }
            }
        }
        if !self.opened {
            // What a shell says of itself when it starts is of no interest.
            heard.clear();
        }
        if self.streams.iter().all(|stream| stream.ended) {
            let code = self.exit_code;
            heard.push(if std::mem::replace(&mut self.opened, true) {
                let ok = code == Some(0);
                Heard::End(End { ok, execution_count: None, exit_code: code })
            } else {
                Heard::Ready
            });
        }
        heard
    }

    fn rest(&mut self) -> Vec<Heard> {
        let [stdout, stderr] = &mut self.streams;
        let rest = [(Source::Stdout, stdout), (Source::Stderr, stderr)];
        rest.into_iter()
            .filter_map(|(from, stream)| text(from, &std::mem::take(&mut stream.buffer)))
            .collect()
    }
}

enum Taken {
    Output(Vec<u8>),
    /// The mark was there, with this code.
    Ended(Vec<u8>, Option<i32>),
}

impl Heeded {
    /// Takes what cannot be part of the mark. What comes after the mark stays for the next command.
    fn take(&mut self, mark: &[u8]) -> Taken {
        let found = self.buffer.windows(mark.len()).position(|window| window == mark);
        if let Some(start) = found {
            let rest = &self.buffer[start + mark.len()..];
            let end = find(&rest[..rest.len().min(CODE_BYTES_MAX)], 0);
            if let Some(end) = end {
                let code =
                    std::str::from_utf8(&rest[..end]).ok().and_then(|code| code.parse().ok());
                let after = start + mark.len() + end + 1;
                let output = self.buffer.drain(..after).take(start).collect();
                return Taken::Ended(output, code);
            }
            let is_mark = rest.len() < CODE_BYTES_MAX;
            let output = if is_mark { start } else { self.buffer.len() };
            return Taken::Output(self.buffer.drain(..output).collect());
        }
        let kept = (1..mark.len().min(self.buffer.len() + 1))
            .rev()
            .find(|length| self.buffer.ends_with(&mark[..*length]))
            .unwrap_or_else(|| cut_character(&self.buffer));
        let output = self.buffer.len() - kept;
        Taken::Output(self.buffer.drain(..output).collect())
    }
}

/// Bytes at the end that begin a character and do not end it.
fn cut_character(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        Ok(_) | Err(_) => 0,
    }
}

fn mark(word: &str) -> Vec<u8> {
    format!("\0{word} ").into_bytes()
}

/// A line that prints the mark on both streams, with the last command's exit code on the first.
fn marks(mark: &[u8]) -> Vec<u8> {
    let word = String::from_utf8_lossy(mark);
    let word = word.trim_matches(['\0', ' ']);
    // Three digits, so that none of the word is taken for a fourth.
    format!("printf '\\000{word} %s\\000' $? >&18; printf '\\000{word} \\000' >&19\n").into_bytes()
}

/// A text as one word of Bash, on one line.
fn quoted(code: &str) -> String {
    let mut quoted = String::with_capacity(code.len() + 3);
    quoted.push_str("$'");
    for character in code.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(name: &str, text: &str, bytes: usize) -> Heard {
        Heard::Event(SessionEvent::Stream { name: name.to_owned(), text: text.to_owned() }, bytes)
    }

    fn said_text(heard: &Heard) -> &str {
        match heard {
            Heard::Event(SessionEvent::Stream { text, .. }, _) => text,
            Heard::Event(..) | Heard::Ready | Heard::Failed(_) | Heard::End(_) => panic!("no text"),
        }
    }

    fn asked(code: &str) -> Asked<'_> {
        Asked { number: 7, word: "word", code, silent: false }
    }

    #[test]
    fn frames_become_events_and_all_else_is_output() {
        let mut lines = Lines::default();
        lines.request(&asked("x"));
        let said = concat!(
            "{\"type\":\"stream\",\"content\":{\"name\":\"stderr\",\"text\":\"a\"}}\n",
            "no frame\n",
            "{\"type\":\"stream\",\"content\":{\"name\":7}}\n",
            "{\"type\":\"end\",\"content\":{\"id\":6,\"ok\":true,\"execution_count\":1}}\n",
            "{\"type\":\"end\",\"content\":{\"id\":7,\"ok\":false,\"execution_count\":2}}\n",
        );
        let heard = lines.hear(said.as_bytes());
        let wrong = "{\"type\":\"stream\",\"content\":{\"name\":7}}\n";
        let end = End { ok: false, execution_count: Some(2), exit_code: None };
        let expected = [
            printed("stderr", "a", 56),
            printed("stdout", "no frame\n", 9),
            printed("stdout", wrong, wrong.len()),
            Heard::End(end),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn a_line_without_end_is_output_and_bounded() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        let mut heard = Vec::new();
        for _ in 0..=FRAME_BYTES_MAX >> 20 {
            heard.extend(lines.hear(&chunk));
            assert!(lines.buffer.len() <= FRAME_BYTES_MAX + chunk.len());
        }
        assert_eq!(heard.len(), 1);
        assert!(lines.buffer.is_empty());
    }

    #[test]
    fn a_shell_is_heard_up_to_its_marks_however_they_are_cut() {
        let said = b"\xc3\xa9out\0wor\0word 3\0late".as_slice();
        for cut in 0..said.len() {
            let mut shell = Shell::new("first");
            let opening = shell.hear(Source::Stdout, b"noise\0first 0\0");
            assert!(opening.is_empty());
            assert_eq!(shell.hear(Source::Stderr, b"\0first \0"), [Heard::Ready]);
            shell.request(&asked("x"));
            let mut heard = shell.hear(Source::Stdout, &said[..cut]);
            heard.extend(shell.hear(Source::Stdout, &said[cut..]));
            heard.extend(shell.hear(Source::Stderr, b"\0word \0"));
            let end = heard.pop();
            let code = Some(3);
            let expected = End { ok: false, execution_count: None, exit_code: code };
            assert_eq!(end, Some(Heard::End(expected)), "cut at {cut}");
            let text: String = heard.iter().map(said_text).collect();
            assert_eq!(text, "éout\0wor", "cut at {cut}");
            assert_eq!(shell.rest(), [printed("stdout", "late", 4)]);
        }
    }

    #[test]
    fn a_command_is_one_line() {
        let mut shell = Shell::new("first");
        let request = String::from_utf8(shell.request(&asked("echo 'a\\n'\necho b"))).unwrap();
        let (first, second) = request.split_once('\n').unwrap();
        assert_eq!(first, "eval $'echo \\'a\\\\n\\'\\necho b' </dev/null");
        assert_eq!(second, "printf '\\000word %s\\000' $? >&18; printf '\\000word \\000' >&19\n");
    }

    proptest! {
        /// Whatever is said, in whatever pieces, is taken without a fall, and little of it is kept.
        #[test]
        fn anything_can_be_said(
            pieces in proptest::collection::vec(
                (any::<bool>(), prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..40),
                    Just(b"\0word ".to_vec()),
                    Just(b"\0word 0\0".to_vec()),
                    Just(b"{\"type\":\"end\",\"content\":{\"id\":7,\"ok\":true,\"execution_count\":1}}\n".to_vec()),
                    Just(b"{\"type\":\"display_data\",\"content\":{\"data\":{\"a\":[[]]}}}\n".to_vec()),
                ]),
                0..20,
            ),
        ) {
            let mut shell = Protocol::Shell(Shell::new("word"));
            let mut lines = Protocol::Lines(Lines::default());
            for protocol in [&mut shell, &mut lines] {
                protocol.request(&asked("x"));
                for (is_error, piece) in &pieces {
                    let from = if *is_error { Source::Stderr } else { Source::Stdout };
                    drop(protocol.hear(from, piece));
                }
                drop(protocol.rest());
            }
        }
    }
}
