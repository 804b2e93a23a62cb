//! Text to tokens. Letters in `\text{..}` and the like become words; layout
//! commands vanish; everything else keeps its order. Total on any input.

use crate::fuel::Exhausted;
use crate::limits;

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digits with at most one point: `12`, `.5`, `3.`.
    Digits(String),
    /// A run of letters outside of text commands.
    Letters(String),
    /// A run of letters inside a text command.
    Word(String),
    /// A command without its backslash.
    Command(String),
    /// `\begin{..}`.
    Begin(String),
    /// `\end{..}`.
    End(String),
    /// `\\`.
    Row,
    /// A comma that groups digits: `{,}` or `,\!`.
    GroupComma,
    /// Anything else, one character: operators, brackets. `{` and `}` are LaTeX
    /// groups; escaped braces are `⦃` and `⦄`.
    Mark(char),
    /// White space wide enough to separate answers: `\quad`.
    Gap,
}

/// A token and whether white space came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) spaced: bool,
}

/// `\{` as a single character.
pub(crate) const OPEN_BRACE: char = '⦃';
/// `\}` as a single character.
pub(crate) const CLOSE_BRACE: char = '⦄';

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
    spaced: bool,
    /// Depth of open braces, and the depths at which a text command began.
    braces: usize,
    texts: Vec<usize>,
}

/// Splits a repaired text.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, Exhausted> {
    let mut lexer =
        Lexer { rest: text, tokens: Vec::new(), spaced: false, braces: 0, texts: Vec::new() };
    while let Some(character) = lexer.rest.chars().next() {
        lexer.step(character);
        if lexer.tokens.len() > limits::TOKENS_MAX {
            return Err(Exhausted);
        }
    }
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, spaced: self.spaced });
        self.spaced = false;
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|character| !keep(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    fn skip(&mut self, character: char) {
        self.rest = &self.rest[character.len_utf8()..];
    }

    fn step(&mut self, character: char) {
        if character.is_whitespace() || character == '~' {
            self.skip(character);
            self.spaced = true;
        } else if character.is_ascii_digit() || self.starts_decimal(character) {
            let digits = self.digits();
            self.push(Kind::Digits(digits));
        } else if character == '\\' {
            self.skip(character);
            self.command();
        } else if character.is_alphabetic() {
            let letters = self.take_while(char::is_alphabetic);
            let kind =
                if self.texts.is_empty() { Kind::Letters(letters) } else { Kind::Word(letters) };
            self.push(kind);
        } else if self.rest.starts_with("{,}") {
            self.rest = &self.rest[3..];
            self.push(Kind::GroupComma);
        } else {
            self.skip(character);
            self.mark(character);
        }
    }

    fn starts_decimal(&self, character: char) -> bool {
        character == '.' && self.rest[1..].starts_with(|next: char| next.is_ascii_digit())
    }

    fn digits(&mut self) -> String {
        let mut digits = self.take_while(|character| character.is_ascii_digit());
        if let Some(after) = self.rest.strip_prefix('.') {
            let decimal = after.starts_with(|next: char| next.is_ascii_digit());
            if decimal {
                self.rest = after;
                digits.push('.');
                digits.push_str(&self.take_while(|character| character.is_ascii_digit()));
            } else if self.point_ends_number(after) {
                self.rest = after;
            }
        }
        digits
    }

    /// `3.` before a repeating part, or as a careless end of a number.
    fn point_ends_number(&self, after: &str) -> bool {
        after.is_empty()
    }

    fn mark(&mut self, character: char) {
        match character {
            '{' => {
                self.braces += 1;
                self.push(Kind::Mark('{'));
            }
            '}' => {
                let closes_text = self.texts.last() == Some(&self.braces);
                self.braces = self.braces.saturating_sub(1);
                if closes_text {
                    self.texts.pop();
                    self.spaced |= self.rest.starts_with(' ');
                } else {
                    self.push(Kind::Mark('}'));
                }
            }
            ',' if self.rest.starts_with("\\!") => {
                self.rest = &self.rest[2..];
                self.push(Kind::GroupComma);
            }
            other => self.push(Kind::Mark(other)),
        }
    }

    fn command(&mut self) {
        let Some(first) = self.rest.chars().next() else {
            return;
        };
        if !first.is_ascii_alphabetic() {
            self.skip(first);
            self.escaped(first);
            return;
        }
        let name = self.take_while(|character| character.is_ascii_alphabetic());
        match name.as_str() {
            "text" | "mbox" | "textbf" | "textit" | "textrm" | "textsf" | "texttt" | "mathrm"
            | "mathit" | "mathbf" | "mathsf" | "boldsymbol" | "bm" | "operatorname" | "rm"
            | "bf" | "hbox" | "textnormal" | "emph" | "pmb" | "mathnormal" | "underline" | "it" => {
                self.text_command(&name);
            }
            "left" | "right" | "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl"
            | "Bigr" | "biggl" | "biggr" | "Biggl" | "Biggr" | "middle" | "bigm" => {
                self.rest = self.rest.trim_start();
                if let Some(after) = self.rest.strip_prefix('.') {
                    self.rest = after;
                }
            }
            "displaystyle" | "textstyle" | "limits" | "nolimits" | "scriptstyle" | "hfill"
            | "phantom" | "strut" | "allowbreak" | "nonumber" | "therefore" | "because" => {
                self.spaced = true;
            }
            "quad" | "qquad" => self.push(Kind::Gap),
            "begin" => self.environment(Kind::Begin),
            "end" => self.environment(Kind::End),
            "hspace" | "vspace" => {
                self.rest = self.rest.trim_start_matches('*');
                if let Some(end) = self.rest.find('}').filter(|_| self.rest.starts_with('{')) {
                    self.rest = &self.rest[end + 1..];
                }
                self.spaced = true;
            }
            "lbrace" => self.push(Kind::Mark(OPEN_BRACE)),
            "rbrace" => self.push(Kind::Mark(CLOSE_BRACE)),
            "lbrack" => self.push(Kind::Mark('[')),
            "rbrack" => self.push(Kind::Mark(']')),
            "vert" | "lvert" | "rvert" | "mid" => self.push(Kind::Mark('|')),
            "cr" | "newline" => self.push(Kind::Row),
            _ => self.push(Kind::Command(name)),
        }
    }

    fn escaped(&mut self, first: char) {
        match first {
            '\\' => {
                if self.rest.starts_with('[')
                    && let Some(end) = self.rest.find(']').filter(|end| *end < 8)
                {
                    self.rest = &self.rest[end + 1..];
                }
                self.push(Kind::Row);
            }
            '{' => self.push(Kind::Mark(OPEN_BRACE)),
            '}' => self.push(Kind::Mark(CLOSE_BRACE)),
            '%' => self.push(Kind::Mark('%')),
            '$' => self.push(Kind::Command("dollar".to_owned())),
            '|' => self.push(Kind::Mark('‖')),
            '!' => {}
            ',' | ';' | ':' | '>' | ' ' => self.spaced = true,
            '&' | '#' | '_' => self.push(Kind::Mark(first)),
            _ => {}
        }
    }

    /// `\text{..}` keeps its content as tokens; letters in it are words. A bold or
    /// upright single letter stays a variable.
    fn text_command(&mut self, name: &str) {
        self.rest = self.rest.trim_start();
        let Some(after) = self.rest.strip_prefix('{') else {
            return;
        };
        let end = after.find('}').unwrap_or(after.len());
        let content = after[..end].trim();
        let is_variable = content.chars().count() == 1 && !name.starts_with("text");
        let is_function = name == "operatorname" || name == "boldsymbol" || name == "pmb";
        self.rest = after;
        self.braces += 1;
        if is_variable || is_function || name == "mathbf" || name == "mathit" {
            let mut inner = content.to_owned();
            if !inner.contains(['\\', '{', ' ']) && !inner.is_empty() {
                self.rest = after.get(end + 1..).unwrap_or("");
                self.braces -= 1;
                let letters = inner.chars().all(char::is_alphabetic);
                if letters {
                    self.push(Kind::Letters(std::mem::take(&mut inner)));
                    return;
                }
                self.rest = after;
                self.braces += 1;
            }
        }
        self.spaced |= after.starts_with(' ');
        self.texts.push(self.braces);
    }

    fn environment(&mut self, kind: impl Fn(String) -> Kind) {
        let Some(after) = self.rest.strip_prefix('{') else {
            return;
        };
        let end = after.find('}').unwrap_or(after.len());
        let name = after[..end].trim_end_matches('*').to_owned();
        self.rest = after.get(end + 1..).unwrap_or("");
        if (name == "array" || name == "tabular")
            && let Some(columns) = self.rest.trim_start().strip_prefix('{')
        {
            let end = columns.find('}').map_or(columns.len(), |end| end + 1);
            self.rest = &columns[end..];
        }
        self.push(kind(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        lex(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn text_becomes_words_and_layout_vanishes() {
        let expected = vec![
            Kind::Digits("5".into()),
            Kind::Word("cm".into()),
            Kind::Mark('^'),
            Kind::Digits("2".into()),
        ];
        assert_eq!(kinds("5\\text{ cm}^2"), expected);
        assert_eq!(kinds("\\left(x\\right)"), kinds("(x)"));
    }

    #[test]
    fn grouping_commas_are_told_from_plain_commas() {
        assert!(kinds("10{,}000").contains(&Kind::GroupComma));
        assert!(kinds("10,\\!000").contains(&Kind::GroupComma));
        assert!(kinds("10,000").contains(&Kind::Mark(',')));
    }

    #[test]
    fn odd_input_is_total() {
        for text in ["\\", "{", "}", "\\text{", "\\begin{", "\\end", "\\left", "..", "\\text"] {
            assert!(lex(text).is_ok(), "{text}");
        }
    }
}
