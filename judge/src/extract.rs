//! Takes the program out of a model's completion. Pure, and every choice has a name.
//!
//! What stands before the last `</think>` is reasoning and is ignored. Among the fenced code blocks
//! (three or more backticks or tildes) the last whose tag names the language wins; then the last
//! without a tag; then the last with any other tag. A fence that is never closed ends with the
//! completion. Where there is no fence there is no program.

/// Where the program was found, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The last block tagged with the language.
    TaggedFence,
    /// The same, never closed.
    TaggedFenceUnfinished,
    /// The last block without a tag.
    PlainFence,
    /// The same, never closed.
    PlainFenceUnfinished,
    /// The last block with another tag.
    OtherFence,
    /// The same, never closed.
    OtherFenceUnfinished,
    /// There is no fenced block.
    NoFence,
    /// The completion is reasoning that never ends.
    UnfinishedReasoning,
}

impl Rule {
    /// Its name in replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TaggedFence => "tagged_fence",
            Self::TaggedFenceUnfinished => "tagged_fence_unfinished",
            Self::PlainFence => "plain_fence",
            Self::PlainFenceUnfinished => "plain_fence_unfinished",
            Self::OtherFence => "other_fence",
            Self::OtherFenceUnfinished => "other_fence_unfinished",
            Self::NoFence => "no_fence",
            Self::UnfinishedReasoning => "unfinished_reasoning",
        }
    }
}

/// The program of a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// The program, where there is one.
    pub source: Option<String>,
    /// The rule that decided.
    pub rule: Rule,
}

/// Takes the program out of `completion`; `tags` are the language's fence tags, in lower case.
#[must_use]
pub fn extract(completion: &str, tags: &[String]) -> Extraction {
    let answer = match completion.rfind("</think>") {
        Some(end) => &completion[end + "</think>".len()..],
        None if completion.trim_start().starts_with("<think>") => {
            return Extraction { source: None, rule: Rule::UnfinishedReasoning };
        }
        None => completion,
    };
    let best = blocks(answer)
        .into_iter()
        .map(|block| (Match::of(&block, tags), block))
        // Of equals the last is the maximum.
        .max_by_key(|(rank, _)| *rank);
    match best {
        None => Extraction { source: None, rule: Rule::NoFence },
        Some((rank, block)) => {
            Extraction { rule: rank.rule(block.closed), source: Some(block.source) }
        }
    }
}

/// How well a block's tag fits; later is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Other,
    Plain,
    Tagged,
}

impl Match {
    fn of(block: &Block, tags: &[String]) -> Self {
        if block.tag.is_empty() {
            Self::Plain
        } else if tags.contains(&block.tag) {
            Self::Tagged
        } else {
            Self::Other
        }
    }

    fn rule(self, closed: Closed) -> Rule {
        match (self, closed) {
            (Self::Tagged, Closed::Yes) => Rule::TaggedFence,
            (Self::Tagged, Closed::No) => Rule::TaggedFenceUnfinished,
            (Self::Plain, Closed::Yes) => Rule::PlainFence,
            (Self::Plain, Closed::No) => Rule::PlainFenceUnfinished,
            (Self::Other, Closed::Yes) => Rule::OtherFence,
            (Self::Other, Closed::No) => Rule::OtherFenceUnfinished,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Yes,
    No,
}

#[derive(Debug)]
struct Block {
    tag: String,
    source: String,
    closed: Closed,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Fence, Block)> = None;
    for line in text.split_inclusive('\n') {
        match &mut open {
            None => {
                open = Fence::opening(line).map(|(fence, tag)| {
                    (fence, Block { tag, source: String::new(), closed: Closed::No })
                });
            }
            Some((fence, block)) if fence.closes(line) => {
                block.closed = Closed::Yes;
                blocks.extend(open.take().map(|(_, block)| block));
            }
            Some((fence, block)) => block.source.push_str(fence.unindent(line)),
        }
    }
    blocks.extend(open.map(|(_, block)| block));
    blocks
}

#[derive(Debug)]
struct Fence {
    mark: char,
    length: usize,
    indent: usize,
}

impl Fence {
    /// The fence that `line` opens, and its tag in lower case.
    fn opening(line: &str) -> Option<(Self, String)> {
        let text = line.trim_start_matches([' ', '\t']);
        let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let info = text.trim_start_matches(mark);
        let length = text.len() - info.len();
        if length < 3 || (mark == '`' && info.contains('`')) {
            return None;
        }
        let tag = info.trim_matches(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '.'));
        let tag = tag.split([' ', '\t', ',', ':', '{', '}']).next().unwrap_or_default();
        let fence = Self { mark, length, indent: line.len() - text.len() };
        Some((fence, tag.to_lowercase()))
    }

    fn closes(&self, line: &str) -> bool {
        let text = line.trim();
        text.len() >= self.length && text.chars().all(|c| c == self.mark)
    }

    /// `line` without as much white space as stands before the opening fence.
    fn unindent<'a>(&self, line: &'a str) -> &'a str {
        let blank = line.bytes().take(self.indent).take_while(|b| matches!(b, b' ' | b'\t'));
        &line[blank.count()..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(completion: &str, source: Option<&str>, rule: Rule) {
        let tags = ["python".to_owned(), "py".to_owned()];
        let found = extract(completion, &tags);
        assert_eq!((found.source.as_deref(), found.rule), (source, rule), "{completion:?}");
    }

    #[test]
    fn the_last_block_of_the_language_wins() {
        check("```python\na\n```\ntext\n```py\nb\n```\n", Some("b\n"), Rule::TaggedFence);
        check("```Python\na\n```\n```text\n3\n```\n", Some("a\n"), Rule::TaggedFence);
        check("```python\na\n```\n```\n3\n```\n", Some("a\n"), Rule::TaggedFence);
        check("```\na\n```\n```text\n3\n```\n", Some("a\n"), Rule::PlainFence);
        check("```java\na\n```", Some("a\n"), Rule::OtherFence);
        check("~~~ {.python}\na\n~~~\n", Some("a\n"), Rule::TaggedFence);
        check("```python title=\"x\"\na\n```\n", Some("a\n"), Rule::TaggedFence);
    }

    #[test]
    fn an_unfinished_fence_ends_with_the_completion() {
        check("```python\na\nb", Some("a\nb"), Rule::TaggedFenceUnfinished);
        check("```\na", Some("a"), Rule::PlainFenceUnfinished);
        check("```python\na\n```\n```python", Some(""), Rule::TaggedFenceUnfinished);
    }

    #[test]
    fn a_shorter_or_different_fence_does_not_close() {
        check("````python\n```\na\n```\n````\n", Some("```\na\n```\n"), Rule::TaggedFence);
        check("```python\n~~~\n```\n", Some("~~~\n"), Rule::TaggedFence);
        check("```python\ns = '```'\n```\n", Some("s = '```'\n"), Rule::TaggedFence);
    }

    #[test]
    fn an_indented_fence_loses_its_own_indentation_only() {
        let completion = "1. so:\n   ```python\n   if a:\n       b\n   ```\n";
        check(completion, Some("if a:\n    b\n"), Rule::TaggedFence);
    }

    #[test]
    fn reasoning_is_ignored() {
        check("<think>```python\na\n```</think>none", None, Rule::NoFence);
        check(
            "<think>```python\na\n```\n</think>\n```python\nb\n```",
            Some("b\n"),
            Rule::TaggedFence,
        );
        check("<think>\n```python\na\n```\n", None, Rule::UnfinishedReasoning);
    }

    #[test]
    fn inline_code_is_no_fence() {
        check("use ```a``` here", None, Rule::NoFence);
        check("```a``` here\n", None, Rule::NoFence);
        check("", None, Rule::NoFence);
    }

    proptest! {
        #[test]
        fn what_stands_in_a_fence_comes_out_of_it(source in "[a-z \n]{0,40}", before in "[a-z \n]{0,20}") {
            let completion = format!("{before}\n```python\n{source}\n```\nthe end");
            let found = extract(&completion, &["python".to_owned()]);
            prop_assert_eq!(found.source, Some(format!("{source}\n")));
        }

        #[test]
        fn no_completion_is_too_strange(completion in "[`~\n<>/think py]{0,60}|.{0,60}") {
            let found = extract(&completion, &["py".to_owned()]);
            prop_assert_eq!(found.source.is_none(),
                matches!(found.rule, Rule::NoFence | Rule::UnfinishedReasoning));
        }
    }
}
