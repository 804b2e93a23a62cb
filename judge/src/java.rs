//! Finds the classes of a Java source: which one names the file, and which one has `main`. Pure.
//!
//! Not a parser: it skips comments and literals, counts braces and looks at words. Where it is
//! wrong the compiler says so; a name it returns is always a plain identifier.

/// The class that names the file, and the class that is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The public class at the top level, else the class that is started.
    pub file: String,
    /// The first class at the top level with a `main`, else the one that names the file.
    pub main: String,
}

/// Bytes of a class name; what is longer would not fit a file name.
const NAME_BYTES_MAX: usize = 200;

/// Finds the classes of `source`.
#[must_use]
pub fn classes(source: &str) -> Classes {
    let words = words(source);
    let mut depth = 0_usize;
    let (mut public, mut with_main, mut first) = (None, None, None);
    let mut current: Option<&str> = None;
    for (position, word) in words.iter().enumerate() {
        let before = |back: usize| position.checked_sub(back).map(|p| words[p]);
        match *word {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            name if depth == 0
                && is_identifier(name)
                && matches!(before(1), Some("class" | "record" | "enum" | "interface")) =>
            {
                current = Some(name);
                first = first.or(current);
                let modifiers = (2..5).map_while(before).take_while(|word| is_modifier(word));
                if modifiers.into_iter().any(|word| word == "public") {
                    public = public.or(current);
                }
            }
            "main"
                if depth == 1
                    && before(1) == Some("void")
                    && words.get(position + 1) == Some(&"(") =>
            {
                with_main = with_main.or(current);
            }
            _ => {}
        }
    }
    let file = public.or(with_main).or(first).filter(short).unwrap_or("Main");
    let with_main = with_main.filter(short);
    Classes { file: file.to_owned(), main: with_main.unwrap_or(file).to_owned() }
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn short(name: &&str) -> bool {
    name.len() <= NAME_BYTES_MAX
}

fn is_modifier(word: &str) -> bool {
    matches!(word, "public" | "final" | "abstract" | "static" | "strictfp" | "sealed")
}

/// Identifiers and single other characters, without comments and literals.
fn words(source: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map_or(rest.len(), |end| end + 4)
        } else if let Some(block) = rest.strip_prefix("\"\"\"") {
            block.find("\"\"\"").map_or(rest.len(), |end| end + 6)
        } else if first == '"' || first == '\'' {
            literal_length(rest, first)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(&rest[..length]);
            length
        } else {
            if !first.is_whitespace() {
                words.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// Bytes of the literal that `text` begins with; it ends with its quote or its line.
fn literal_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (position, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return position,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(source: &str, file: &str, main: &str) {
        let found = classes(source);
        assert_eq!((found.file.as_str(), found.main.as_str()), (file, main), "{source}");
    }

    #[test]
    fn the_public_class_names_the_file_and_main_is_found() {
        check("public class A { public static void main(String[] a) {} }", "A", "A");
        check("class B {} class A { static void main(String[] a) {} }", "A", "A");
        check("class B { void main () {} } public final class A {}", "A", "B");
        check("public class A { static class Main { void main() {} } }", "A", "A");
        check("import x.*; class Problem { int f; ", "Problem", "Problem");
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        check("// public class X\n/* class Y { */ class A { String s = \"class Z {\"; }", "A", "A");
        check("class A { char c = '{'; char d = '\\''; } class B { void main() {} }", "B", "B");
        check("class A { String s = \"\"\"\n class Z { \" \"\"\"; void main() {} }", "A", "A");
    }

    #[test]
    fn nonsense_has_a_plain_name_too() {
        check("", "Main", "Main");
        check("class ../../x {", "Main", "Main");
        check("class $(reboot) {}", "Main", "Main");
        check("class \"", "Main", "Main");
    }

    proptest! {
        #[test]
        fn a_name_is_always_a_plain_identifier(source in "(class|public|main|void|[{}()/*\"'\\\\ \n]|\\PC){0,40}") {
            let found = classes(&source);
            for name in [found.file, found.main] {
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                prop_assert!(!name.is_empty());
            }
        }
    }
}
