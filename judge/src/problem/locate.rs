//! Finds the line of a key in the text of a JSON file, so that what is wrong with a problem can be told
//! with its place. It reads no values and believes that the text was parsed before.

/// The line, from 1, of the longest part of `path` that the text has: keys with dots between them, and
/// positions of lists in brackets, such as `test.framework` and `tests[2]`. `None` where it has none.
#[must_use]
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let wanted = segments(path);
    let mut best: Option<(usize, usize)> = None;
    let mut scanner = Scanner { text: text.as_bytes(), at: 0, line: 1, trail: Vec::new() };
    scanner.value(&mut |trail, line| {
        let depth = trail.len();
        let fits = depth > 0 && depth <= wanted.len() && trail.iter().eq(wanted[..depth].iter());
        if fits && best.is_none_or(|(known, _)| depth > known) {
            best = Some((depth, line));
        }
    });
    best.map(|(_, line)| line)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Key(Vec<u8>),
    Position(usize),
}

fn segments(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    for part in path.split('.') {
        let (key, rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !key.is_empty() {
            segments.push(Segment::Key(key.as_bytes().to_vec()));
        }
        let positions = rest.split(['[', ']']).filter_map(|number| number.parse().ok());
        segments.extend(positions.map(Segment::Position));
    }
    segments
}

/// Deeper values are passed over without a trail.
const DEPTH_MAX: usize = 64;

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    trail: Vec<Segment>,
}

impl Scanner<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at).copied().filter(u8::is_ascii_whitespace) {
            self.line += usize::from(byte == b'\n');
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// A string without its quotes, as it is written.
    fn string(&mut self) -> Vec<u8> {
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let end = self.at.min(self.text.len());
        self.at = end + 1;
        self.text[start..end].to_vec()
    }

    fn value(&mut self, found: &mut impl FnMut(&[Segment], usize)) {
        match self.peek() {
            Some(open @ (b'{' | b'[')) if self.trail.len() < DEPTH_MAX => {
                self.at += 1;
                let mut position = 0;
                while let Some(byte) = self.peek() {
                    match byte {
                        b'}' | b']' => {
                            self.at += 1;
                            return;
                        }
                        b',' => self.at += 1,
                        _ => {
                            let line = self.line;
                            let segment = if open == b'{' {
                                Segment::Key(self.key())
                            } else {
                                Segment::Position(position)
                            };
                            position += 1;
                            self.trail.push(segment);
                            found(&self.trail, line);
                            self.value(found);
                            self.trail.pop();
                        }
                    }
                }
            }
            Some(b'"') => drop(self.string()),
            Some(_) => {
                // A number or a word, or what is too deep: up to what can follow it.
                self.at += 1;
                let ends =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                while self.text.get(self.at).is_some_and(|byte| !ends(byte)) {
                    self.at += 1;
                }
            }
            None => {}
        }
    }

    fn key(&mut self) -> Vec<u8> {
        if self.peek() != Some(b'"') {
            self.at += 1;
            return Vec::new();
        }
        let key = self.string();
        if self.peek() == Some(b':') {
            self.at += 1;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "{\n \"kind\": \"x\",\n \"test\": {\n  \"a\\\"\": [1],\n  \"framework\": \"{\\\"test\\\"\"\n },\n \"tests\": [\n  \"a\",\n  {\"name\":\n   \"b\"}]\n}\n";

    #[test]
    fn keys_and_positions_are_found_by_their_lines() {
        for (path, line) in [
            ("kind", Some(2)),
            ("test", Some(3)),
            ("test.framework", Some(5)),
            ("test.nothing", Some(3)),
            ("tests[0]", Some(8)),
            ("tests[1].name", Some(9)),
            ("tests[7]", Some(7)),
            ("framework", None),
            ("", None),
        ] {
            assert_eq!(line_of(TEXT, path), line, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic(text in "[\\[\\]{}\",:\\\\ \na1]{0,60}", path in "[a\\[\\].0-9]{0,10}") {
            let line = line_of(&text, &path);
            prop_assert!(line.unwrap_or(1) <= text.lines().count() + 1);
        }
    }
}
