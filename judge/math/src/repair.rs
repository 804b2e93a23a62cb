//! Repair of a text before it is read: damage from JSON and Python escapes, Unicode
//! look-alikes, Markdown and math delimiters. One pass over characters; the result
//! is plain ASCII LaTeX where an ASCII spelling exists.

/// A text ready for the lexer.
pub(crate) fn repair(text: &str) -> String {
    let unescaped = restore_escapes(text);
    let mut repaired = String::with_capacity(unescaped.len() + 16);
    let mut rest = unescaped.trim().chars().peekable();
    while let Some(character) = rest.next() {
        if let Some(digit) = superscript(character) {
            repaired.push_str("^{");
            repaired.push(digit);
            while let Some(next) = rest.peek().copied().and_then(superscript) {
                repaired.push(next);
                rest.next();
            }
            repaired.push('}');
        } else if let Some(digit) = subscript(character) {
            repaired.push_str("_{");
            repaired.push(digit);
            while let Some(next) = rest.peek().copied().and_then(subscript) {
                repaired.push(next);
                rest.next();
            }
            repaired.push('}');
        } else if character == '√' {
            push_root(&mut repaired, &mut rest);
        } else if let Some(spelling) = spelling(character) {
            repaired.push_str(spelling);
        } else if let Some(ascii) = ascii_width(character) {
            repaired.push(ascii);
        } else if !is_invisible(character) {
            repaired.push(character);
        }
    }
    let mut result = strip_delimiters(&repaired);
    trim_end_marks(&mut result);
    result
}

/// `√12` means the root of 12, `√(..)` the root of the group.
fn push_root(repaired: &mut String, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    repaired.push_str("\\sqrt");
    let mut digits = String::new();
    while let Some(digit) = rest.peek().copied().filter(char::is_ascii_digit) {
        digits.push(digit);
        rest.next();
    }
    if digits.is_empty() {
        repaired.push(' ');
    } else {
        repaired.push('{');
        repaired.push_str(&digits);
        repaired.push('}');
    }
}

/// `\f` + `rac` and the like come from strings that were unescaped once too often;
/// doubled backslashes from strings that were escaped once too often.
fn restore_escapes(text: &str) -> String {
    const TAILS: [(char, char, &[&str]); 4] = [
        ('\u{c}', 'f', &["rac", "box", "orall", "loor"]),
        ('\t', 't', &["ext", "imes", "heta", "frac", "binom", "an", "au", "o "]),
        ('\r', 'r', &["ight", "ho", "angle", "ceil", "floor"]),
        ('\u{8}', 'b', &["oxed", "inom", "egin", "eta", "ar", "f", "ig"]),
    ];
    let mut restored = String::with_capacity(text.len());
    for (index, character) in text.char_indices() {
        let damage = TAILS.iter().find(|(control, _, tails)| {
            let rest = &text[index + character.len_utf8()..];
            *control == character && tails.iter().any(|tail| rest.starts_with(tail))
        });
        match damage {
            Some((_, letter, _)) => restored.extend(['\\', *letter]),
            None => restored.push(character),
        }
    }
    let doubled = restored.contains("\\\\")
        && !restored.contains("begin{")
        && !has_single_command(&restored)
        && has_doubled_command(&restored);
    if doubled { restored.replace("\\\\", "\\") } else { restored }
}

fn has_doubled_command(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(3).any(|window| {
        window[0] == b'\\'
            && window[1] == b'\\'
            && (window[2].is_ascii_alphabetic() || matches!(window[2], b'{' | b'(' | b'[' | b'%'))
    })
}

fn has_single_command(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|index| {
        let letter = bytes.get(index + 1).is_some_and(u8::is_ascii_alphabetic);
        let before = index > 0 && bytes[index - 1] == b'\\';
        bytes[index] == b'\\' && letter && !before
    })
}

fn strip_delimiters(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let skipped =
            ["**", "\\(", "\\)", "\\[", "\\]", "$$"].iter().find(|mark| rest.starts_with(**mark));
        let power = skipped == Some(&"**")
            && result.ends_with(|last: char| last.is_alphanumeric() || last == ')' || last == '}')
            && rest[2..]
                .starts_with(|next: char| next.is_alphanumeric() || next == '(' || next == '-');
        if power {
            result.push('^');
            rest = &rest[2..];
        } else if let Some(mark) = skipped {
            // `\\[2pt]` is a row break with a space, not a display delimiter.
            result.push(' ');
            rest = &rest[mark.len()..];
        } else if rest.starts_with("\\\\") || rest.starts_with("\\$") {
            result.push_str(&rest[..2]);
            rest = &rest[2..];
        } else if character == '$' {
            let amount = rest[1..].trim_start().starts_with(|next: char| next.is_ascii_digit());
            let closes = rest[1..].contains('$');
            let opened = result.contains('\u{1}');
            if amount && !closes && !opened {
                result.push_str("\\$");
            } else {
                result.push('\u{1}');
            }
            rest = &rest[1..];
        } else {
            result.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    result.replace('\u{1}', " ").trim().to_owned()
}

fn trim_end_marks(text: &mut String) {
    loop {
        let trimmed = text.trim_end().trim_end_matches([',', ';', '。', '`']);
        let trimmed = match trimmed.strip_suffix('.') {
            Some(shorter) if !shorter.ends_with('\\') && !shorter.ends_with("\\right") => shorter,
            _ => trimmed,
        };
        if trimmed.ends_with('\\') && !trimmed.ends_with("\\\\") && trimmed.len() < text.len() {
            // A thin space `\,` or `\;` lost its letter; drop the backslash as well.
            let length = trimmed.len() - 1;
            text.truncate(length);
            continue;
        }
        if trimmed.len() == text.len() {
            break;
        }
        let length = trimmed.len();
        text.truncate(length);
    }
    let start = text.trim_start_matches(['`', '=', ' ']).len();
    if start < text.len() && start > 0 {
        *text = text[text.len() - start..].to_owned();
    }
}

fn superscript(character: char) -> Option<char> {
    const TABLE: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣⁱ";
    const PLAIN: &str = "0123456789+-nxi";
    TABLE.chars().position(|mark| mark == character).and_then(|at| PLAIN.chars().nth(at))
}

fn subscript(character: char) -> Option<char> {
    const TABLE: &str = "₀₁₂₃₄₅₆₇₈₉";
    TABLE
        .chars()
        .position(|mark| mark == character)
        .and_then(|at| char::from_digit(u32::try_from(at).ok()?, 10))
}

pub(crate) fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}'
    )
}

/// Full-width forms of ASCII.
fn ascii_width(character: char) -> Option<char> {
    let code = u32::from(character);
    if (0xff01..=0xff5e).contains(&code) {
        return char::from_u32(code - 0xfee0);
    }
    character.is_whitespace().then_some(' ')
}

fn spelling(character: char) -> Option<&'static str> {
    Some(match character {
        '−' | '–' | '—' | '‐' | '‑' | '﹣' => "-",
        '×' | '✕' | '⨯' => "\\times ",
        '÷' => "\\div ",
        '·' | '⋅' | '∙' => "\\cdot ",
        '≤' | '⩽' | '≦' => "\\le ",
        '≥' | '⩾' | '≧' => "\\ge ",
        '≠' => "\\ne ",
        '≈' => "\\approx ",
        '∞' => "\\infty ",
        '∪' => "\\cup ",
        '∩' => "\\cap ",
        '∈' => "\\in ",
        '∉' => "\\notin ",
        '∅' => "\\emptyset ",
        '∖' => "\\setminus ",
        '±' => "\\pm ",
        '∓' => "\\mp ",
        '°' | 'º' | '˚' => "^\\circ ",
        '√' => "\\sqrt ",
        'ℝ' => "\\mathbb{R} ",
        'ℤ' => "\\mathbb{Z} ",
        'ℕ' => "\\mathbb{N} ",
        'ℚ' => "\\mathbb{Q} ",
        'ℂ' => "\\mathbb{C} ",
        '½' => "\\frac{1}{2}",
        '⅓' => "\\frac{1}{3}",
        '⅔' => "\\frac{2}{3}",
        '¼' => "\\frac{1}{4}",
        '¾' => "\\frac{3}{4}",
        '⅕' => "\\frac{1}{5}",
        '⅛' => "\\frac{1}{8}",
        '⅜' => "\\frac{3}{8}",
        '⅝' => "\\frac{5}{8}",
        '⅞' => "\\frac{7}{8}",
        _ => return letter_or_bracket(character),
    })
}

fn letter_or_bracket(character: char) -> Option<&'static str> {
    Some(match character {
        'π' => "\\pi ",
        'α' => "\\alpha ",
        'β' => "\\beta ",
        'γ' => "\\gamma ",
        'δ' => "\\delta ",
        'θ' => "\\theta ",
        'λ' => "\\lambda ",
        'μ' | 'µ' => "\\mu ",
        'ρ' => "\\rho ",
        'σ' => "\\sigma ",
        'τ' => "\\tau ",
        'φ' | 'ϕ' => "\\phi ",
        'ω' => "\\omega ",
        'Ω' => "\\Omega ",
        'Δ' => "\\Delta ",
        '⟨' | '〈' => "\\langle ",
        '⟩' | '〉' => "\\rangle ",
        '⌊' => "\\lfloor ",
        '⌋' => "\\rfloor ",
        '⌈' => "\\lceil ",
        '⌉' => "\\rceil ",
        '∣' => "|",
        '′' | '’' | '‘' => "'",
        '“' | '”' => "\"",
        '、' => ",",
        '∧' => "\\wedge ",
        '∨' => "\\vee ",
        '→' => "\\to ",
        '⇒' => "\\Rightarrow ",
        '∠' => "\\angle ",
        '⁄' | '∕' => "/",
        '…' => "\\ldots ",
        '€' => "\\euro ",
        '£' => "\\pounds ",
        '¥' => "\\yen ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_escapes_are_restored() {
        assert_eq!(repair("\u{c}rac{1}{2}"), "\\frac{1}{2}");
        assert_eq!(repair("5\text{ cm}"), "5\\text{ cm}");
        assert_eq!(repair("\\\\frac{1}{2}"), "\\frac{1}{2}");
    }

    #[test]
    fn matrix_rows_keep_their_doubled_backslash() {
        let matrix = "\\begin{pmatrix}1\\\\2\\end{pmatrix}";
        assert_eq!(repair(matrix), matrix);
    }

    #[test]
    fn delimiters_and_markdown_go_currency_stays() {
        assert_eq!(repair("$x+1$"), "x+1");
        assert_eq!(repair("**73**"), "73");
        assert_eq!(repair("\\$18.9"), "\\$18.9");
        assert_eq!(repair("$5"), "\\$5");
    }

    #[test]
    fn unicode_is_spelled_out() {
        assert_eq!(repair("x²"), "x^{2}");
        assert_eq!(repair("√12"), "\\sqrt{12}");
        assert_eq!(repair("−3"), "-3");
        assert_eq!(repair("\u{200b}7"), "7");
    }
}
