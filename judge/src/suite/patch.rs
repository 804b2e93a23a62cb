//! Applies a patch to a tree. Pure; no program runs, and nothing is written.
//!
//! Patches are unified diffs, as `git diff` and `diff -ru` write them: changed, new, deleted and
//! renamed files, modes, the mark of a missing line end. Text before the first header is passed over.
//! The counts of a hunk must be right, and what it keeps and removes must be there line by line; where
//! it is not at the line it names, the nearest place counts, after the hunk before it. All of a patch is
//! applied, or nothing. Binary patches, copies, links and submodules are refused.

use bytes::Bytes;

use super::tree::{Tree, TreeError, TreeFile};
use crate::limits::{PATCH_COMPARISONS_MAX, PATCH_FILES_MAX};

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// There is no header of a file in it.
    #[error("it is no patch: there is no `diff --git` and no `---` with `+++`")]
    Empty,
    /// It is broken.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not as the patch has it.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// What comes of it is no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What a patch does to one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FilePatch {
    /// `None` for a new file.
    old: Option<String>,
    /// `None` for a file that is deleted.
    new: Option<String>,
    is_new: bool,
    is_deleted: bool,
    is_rename: bool,
    executable: Option<bool>,
    hunks: Vec<Hunk>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk {
    /// The line that it names, from 1; 0 before the first.
    start: usize,
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

/// Paths that a patch touches, old and new, in its order.
///
/// # Errors
/// It is no patch.
pub fn touched(patch: &str) -> Result<Vec<String>, PatchError> {
    let files = parse(patch)?;
    Ok(files.into_iter().flat_map(|file| file.old.into_iter().chain(file.new)).collect())
}

/// Applies `patch`, but for what it does to files that `skips`.
///
/// # Errors
/// It does not apply; the tree is as it was.
pub fn apply(tree: &Tree, patch: &str, skips: impl Fn(&str) -> bool) -> Result<Tree, PatchError> {
    let mut result = tree.clone();
    let mut fuel = PATCH_COMPARISONS_MAX;
    for file in parse(patch)? {
        let names = [&file.old, &file.new];
        if names.into_iter().flatten().any(|name| skips(name)) {
            continue;
        }
        apply_file(&mut result, &file, &mut fuel)?;
    }
    Ok(result)
}

fn apply_file(tree: &mut Tree, file: &FilePatch, fuel: &mut usize) -> Result<(), PatchError> {
    let path = file.old.as_ref().or(file.new.as_ref()).cloned().unwrap_or_default();
    let failed = |reason: String| PatchError::File { path: path.clone(), reason };
    let before = match &file.old {
        Some(old) if !file.is_new => {
            let found = if file.is_rename || file.is_deleted || file.new.is_none() {
                tree.take(old)
            } else {
                tree.get(old).cloned()
            };
            found.ok_or_else(|| failed("there is no such file".to_owned()))?
        }
        Some(_) | None => {
            let new = file.new.as_deref().unwrap_or_default();
            if tree.get(new).is_some_and(|known| !known.content.is_empty()) {
                return Err(failed("it is to be new, and is there".to_owned()));
            }
            TreeFile { content: Bytes::new(), executable: false }
        }
    };
    let content = apply_hunks(&before.content, &file.hunks, fuel).map_err(&failed)?;
    let Some(new) = file.new.as_ref().filter(|_| !file.is_deleted) else {
        return match content.is_empty() {
            true => Ok(()),
            false => Err(failed("it is to be deleted, and lines are left".to_owned())),
        };
    };
    if file.is_rename && tree.get(new).is_some() {
        return Err(failed(format!("it is to be renamed to {new}, which is there")));
    }
    let executable = file.executable.unwrap_or(before.executable);
    Ok(tree.put(new, TreeFile { content, executable })?)
}

fn apply_hunks(content: &Bytes, hunks: &[Hunk], fuel: &mut usize) -> Result<Bytes, String> {
    if hunks.is_empty() {
        return Ok(content.clone());
    }
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut result: Vec<u8> = Vec::with_capacity(content.len());
    let mut done = 0;
    let mut drift: isize = 0;
    for (number, hunk) in hunks.iter().enumerate() {
        // A hunk that removes and keeps nothing comes after the line that it names.
        let named = if hunk.old.is_empty() { hunk.start } else { hunk.start.saturating_sub(1) };
        let wanted = named.saturating_add_signed(drift);
        let at = place(&lines, &hunk.old, done, wanted, fuel)
            .map_err(|reason| format!("hunk {} does not apply: {reason}", number + 1))?;
        drift = at.cast_signed() - named.cast_signed();
        for line in &lines[done..at] {
            result.extend_from_slice(line);
        }
        for line in &hunk.new {
            result.extend_from_slice(line);
        }
        done = at + hunk.old.len();
    }
    for line in &lines[done..] {
        result.extend_from_slice(line);
    }
    Ok(result.into())
}

/// Where `old` stands among `lines`, not before `from` and as near to `wanted` as can be.
fn place(
    lines: &[&[u8]],
    old: &[Vec<u8>],
    from: usize,
    wanted: usize,
    fuel: &mut usize,
) -> Result<usize, &'static str> {
    let Some(last) = lines.len().checked_sub(old.len()).filter(|last| *last >= from) else {
        return Err("the file is too short");
    };
    let wanted = wanted.clamp(from, last);
    if old.is_empty() {
        return Ok(wanted);
    }
    let mut fits = |at: usize| -> Result<bool, &'static str> {
        for (line, kept) in lines[at..].iter().zip(old) {
            *fuel = fuel.checked_sub(1).ok_or("it takes too long to find its place")?;
            if line != kept {
                return Ok(false);
            }
        }
        Ok(true)
    };
    for distance in 0..=(wanted - from).max(last - wanted) {
        let after = wanted.checked_add(distance).filter(|at| *at <= last);
        let before = wanted.checked_sub(distance).filter(|at| *at >= from && distance > 0);
        for at in before.into_iter().chain(after) {
            if fits(at)? {
                return Ok(at);
            }
        }
    }
    Err("what it keeps and removes is not there")
}

/// A reader of lines with their numbers.
struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.peek()?;
        self.at += 1;
        Some(line)
    }

    fn failed(&self, reason: impl Into<String>) -> PatchError {
        PatchError::Syntax { line: self.at, reason: reason.into() }
    }
}

fn parse(patch: &str) -> Result<Vec<FilePatch>, PatchError> {
    let mut lines = Lines { lines: patch.split('\n').collect(), at: 0 };
    if lines.lines.last() == Some(&"") {
        lines.lines.pop();
    }
    let mut files: Vec<FilePatch> = Vec::new();
    while let Some(line) = lines.next() {
        let file = if let Some(rest) = line.strip_prefix("diff --git ") {
            parse_git(&mut lines, rest)?
        } else if is_plain_header(line, lines.peek()) {
            lines.at -= 1;
            let mut file = FilePatch::default();
            parse_names(&mut lines, &mut file)?;
            parse_hunks(&mut lines, &mut file)?;
            file
        } else if line.starts_with("@@ ") {
            return Err(lines.failed("a hunk without the name of its file"));
        } else {
            continue;
        };
        if file.hunks.is_empty() && !file.is_git_change() {
            return Err(lines.failed("a file without a change"));
        }
        files.push(file);
        if files.len() > PATCH_FILES_MAX {
            return Err(lines.failed(format!("more than {PATCH_FILES_MAX} files")));
        }
    }
    if files.is_empty() { Err(PatchError::Empty) } else { Ok(files) }
}

impl FilePatch {
    /// Whether it changes something without a hunk.
    fn is_git_change(&self) -> bool {
        self.is_new || self.is_deleted || self.is_rename || self.executable.is_some()
    }
}

fn is_plain_header(line: &str, next: Option<&str>) -> bool {
    line.starts_with("--- ") && next.is_some_and(|next| next.starts_with("+++ "))
}

/// The lines after `diff --git`, whose own names count where no others are given.
fn parse_git(lines: &mut Lines<'_>, names: &str) -> Result<FilePatch, PatchError> {
    let mut file = FilePatch::default();
    while let Some(line) = lines.peek() {
        if line.starts_with("diff --git ") || line.starts_with("@@ ") || line.starts_with("--- ") {
            break;
        }
        lines.at += 1;
        let mode = |text: &str| match text.trim() {
            "100644" | "100664" => Ok(false),
            "100755" => Ok(true),
            "120000" => Err("symbolic links are refused"),
            "160000" => Err("submodules are refused"),
            _ => Err("an unknown mode"),
        };
        let failed =
            |reason: &str| PatchError::Syntax { line: lines.at, reason: reason.to_owned() };
        if let Some(text) = line.strip_prefix("new file mode ") {
            (file.is_new, file.executable) = (true, Some(mode(text).map_err(failed)?));
        } else if let Some(text) = line.strip_prefix("deleted file mode ") {
            file.is_deleted = mode(text).map(|_| true).map_err(failed)?;
        } else if let Some(text) = line.strip_prefix("new mode ") {
            file.executable = Some(mode(text).map_err(failed)?);
        } else if let Some(text) = line.strip_prefix("old mode ") {
            mode(text).map_err(failed)?;
        } else if let Some(path) = line.strip_prefix("rename from ") {
            (file.is_rename, file.old) =
                (true, Some(unquoted(path).ok_or_else(|| failed("a broken path"))?));
        } else if let Some(path) = line.strip_prefix("rename to ") {
            file.new = Some(unquoted(path).ok_or_else(|| failed("a broken path"))?);
        } else if line.starts_with("copy ") {
            return Err(failed("copies are refused"));
        } else if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
            return Err(failed("binary patches are refused"));
        } else if let Some(text) = line.strip_prefix("index ") {
            // The mode stands here where it does not change.
            if let Some((_, text)) = text.split_once(' ') {
                mode(text).map_err(failed)?;
            }
        } else if !line.starts_with("similarity index ")
            && !line.starts_with("dissimilarity index ")
        {
            // What follows is no part of this file.
            lines.at -= 1;
            break;
        }
    }
    if lines.peek().is_some_and(|line| line.starts_with("--- ")) {
        parse_names(lines, &mut file)?;
        parse_hunks(lines, &mut file)?;
    } else if !file.is_rename {
        let (old, new) = split_names(names).ok_or_else(|| lines.failed("no two names"))?;
        (file.old, file.new) = (Some(old), Some(new));
    }
    if file.is_new {
        file.old = None;
    }
    if file.is_deleted {
        file.new = None;
    }
    if file.is_rename && (file.old.is_none() || file.new.is_none()) {
        return Err(lines.failed("a rename needs both names"));
    }
    Ok(file)
}

/// `a/NAME b/NAME`: both names are the same where they are needed.
fn split_names(names: &str) -> Option<(String, String)> {
    if let Some(rest) = names.strip_prefix('"') {
        let end = rest.find("\" ")? + 2;
        return Some((
            stripped(&unquoted(&names[..end])?),
            stripped(&unquoted(&names[end + 1..])?),
        ));
    }
    let half = names.len() / 2;
    let (old, new) = (names.get(..half)?, names.get(half + 1..)?);
    let (old, new) = (stripped(old), stripped(new));
    (old == new).then_some((old, new))
}

fn parse_names(lines: &mut Lines<'_>, file: &mut FilePatch) -> Result<(), PatchError> {
    let mut name = |mark: &str| {
        let line = lines.next().unwrap_or_default();
        let rest = line
            .strip_prefix(mark)
            .ok_or_else(|| lines.failed(format!("`{}` expected", mark.trim())))?;
        // A time may follow after a tab.
        let path = rest.split('\t').next().unwrap_or(rest).trim_end_matches('\r');
        let path = unquoted(path).ok_or_else(|| lines.failed("a broken path"))?;
        Ok::<_, PatchError>((path != "/dev/null").then(|| stripped(&path)))
    };
    let (old, new) = (name("--- ")?, name("+++ ")?);
    if old.is_none() && new.is_none() {
        return Err(lines.failed("both names are /dev/null"));
    }
    if file.is_rename {
        return Ok(());
    }
    file.is_new |= old.is_none();
    file.is_deleted |= new.is_none();
    if let (Some(old), Some(new)) = (&old, &new) {
        // `diff -u a.orig a` names two files; the second is meant, where the first is not the same.
        file.old = Some(if old == new { old.clone() } else { new.clone() });
        file.new = Some(new.clone());
    } else {
        (file.old, file.new) = (old, new);
    }
    Ok(())
}

fn parse_hunks(lines: &mut Lines<'_>, file: &mut FilePatch) -> Result<(), PatchError> {
    while let Some(line) = lines.peek().filter(|line| line.starts_with("@@ ")) {
        lines.at += 1;
        let (start, old, new) = header(line).ok_or_else(|| lines.failed("a broken hunk header"))?;
        let mut hunk = Hunk { start, ..Hunk::default() };
        let mut last: [bool; 2] = [false, false];
        while hunk.old.len() < old || hunk.new.len() < new {
            let Some(line) = lines.next() else {
                return Err(lines.failed("the patch ends within a hunk"));
            };
            let (mark, text) = match line.chars().next() {
                Some(mark @ (' ' | '+' | '-')) => (mark, &line[1..]),
                // What an editor makes of a line with nothing but a space.
                None => (' ', line),
                Some('\\') => {
                    without_line_end(&mut hunk, last);
                    continue;
                }
                Some(_) => return Err(lines.failed("a line of a hunk begins with ' ', '+' or '-'")),
            };
            last = [mark != '+', mark != '-'];
            let text = [text.as_bytes(), b"\n"].concat();
            if last[0] {
                hunk.old.push(text.clone());
            }
            if last[1] {
                hunk.new.push(text);
            }
            if hunk.old.len() > old || hunk.new.len() > new {
                return Err(lines.failed("a hunk has other numbers of lines than its header says"));
            }
        }
        if lines.peek().is_some_and(|line| line.starts_with('\\')) {
            lines.at += 1;
            without_line_end(&mut hunk, last);
        }
        file.hunks.push(hunk);
    }
    Ok(())
}

/// `\ No newline at end of file`, about the line before.
fn without_line_end(hunk: &mut Hunk, [in_old, in_new]: [bool; 2]) {
    for (is_meant, lines) in [(in_old, &mut hunk.old), (in_new, &mut hunk.new)] {
        if let Some(line) = lines.last_mut().filter(|line| is_meant && line.ends_with(b"\n")) {
            line.pop();
        }
    }
}

/// `@@ -START,COUNT +START,COUNT @@`: the start and both counts.
fn header(line: &str) -> Option<(usize, usize, usize)> {
    let ranges = line.strip_prefix("@@ -")?.split(" @@").next()?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((start, count)) => Some((start.parse().ok()?, count.trim().parse().ok()?)),
        None => Some((text.trim().parse().ok()?, 1)),
    };
    let ((start, old), (_, new)): ((usize, usize), (usize, usize)) = (range(old)?, range(new)?);
    Some((start, old, new))
}

/// A path without the `a/` or `b/` that tools put before it.
fn stripped(path: &str) -> String {
    let rest = path.strip_prefix("a/").or_else(|| path.strip_prefix("b/"));
    rest.unwrap_or(path).to_owned()
}

/// A path as git quotes it: in double quotes where it has unusual characters, those as octal bytes.
fn unquoted(path: &str) -> Option<String> {
    let path = path.trim_end_matches('\r');
    let Some(inner) = path.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Some(path.to_owned());
    };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                known @ (b'"' | b'\\') => known,
                first @ b'0'..=b'3' => {
                    let digit = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| byte - b'0');
                    let [a, b, c] = [digit(first)?, digit(rest.next()?)?, digit(rest.next()?)?];
                    a * 64 + b * 8 + c
                }
                _ => return None,
            },
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            let content = Bytes::from((*text).to_owned());
            tree.put(path, TreeFile { content, executable: false }).unwrap();
        }
        tree
    }

    fn applied(before: &[(&str, &str)], patch: &str) -> Result<Tree, PatchError> {
        apply(&tree(before), patch, |_| false)
    }

    /// A line, and whether it is kept, removed or added.
    type Edit = (char, String);

    /// Writes what `edits` say as hunks with `context` lines around.
    fn write_hunks(edits: &[Edit], context: usize) -> String {
        let changed: Vec<usize> =
            edits.iter().enumerate().filter(|(_, edit)| edit.0 != ' ').map(|(at, _)| at).collect();
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for at in changed {
            let (from, to) = (at.saturating_sub(context), (at + 1 + context).min(edits.len()));
            match ranges.last_mut() {
                Some(last) if from <= last.1 => last.1 = to,
                Some(_) | None => ranges.push((from, to)),
            }
        }
        let count = |part: &[Edit], not: char| part.iter().filter(|edit| edit.0 != not).count();
        let mut text = String::new();
        for (from, to) in ranges {
            let part = &edits[from..to];
            let (old, new) = (count(part, '+'), count(part, '-'));
            let start =
                |not: char, lines: usize| count(&edits[..from], not) + usize::from(lines > 0);
            writeln!(text, "@@ -{},{old} +{},{new} @@", start('+', old), start('-', new)).unwrap();
            for (mark, line) in part {
                writeln!(text, "{mark}{line}").unwrap();
            }
        }
        text
    }

    fn side(edits: &[Edit], not: char) -> String {
        edits
            .iter()
            .filter(|edit| edit.0 != not)
            .fold(String::new(), |text, edit| text + &edit.1 + "\n")
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let edit = (prop_oneof![6 => Just(' '), 1 => Just('-'), 1 => Just('+')], "[ab+@-]{0,2}");
        proptest::collection::vec(edit, 0..60)
    }

    proptest! {
        /// Few different lines, so that most hunks could stand in several places.
        #[test]
        fn random_edits_written_as_a_patch_give_the_edited_file(edits in edits(), context in 0_usize..4) {
            let (old, new) = (side(&edits, '+'), side(&edits, '-'));
            prop_assume!(!old.is_empty() && edits.iter().any(|edit| edit.0 != ' '));
            let patch = format!("--- a/f\n+++ b/f\n{}", write_hunks(&edits, context));
            let result = applied(&[("f", &old), ("g", "other\n")], &patch);
            match result {
                Ok(result) => {
                    prop_assert_eq!(&*result.get("f").unwrap().content, new.as_bytes());
                    prop_assert_eq!(&*result.get("g").unwrap().content, b"other\n");
                }
                // All lines removed leave an empty file, which is no deletion.
                Err(error) => prop_assert!(false, "{error}\n{patch}"),
            }
        }

        #[test]
        fn no_text_makes_a_panic_or_a_path_out_of_the_tree(text in "(diff --git |--- |\\+\\+\\+ |@@ -1 \\+1 @@|new file mode 100644|rename (from|to) |[ab]/|\\.\\./|/dev/null|x|\n|[ +-]){0,60}") {
            if let Ok(tree) = applied(&[("x", "x\n")], &text) {
                prop_assert!(tree.iter().all(|(path, _)| !path.contains("..") && !path.starts_with('/')));
            }
        }

        #[test]
        fn lines_above_move_a_hunk_and_it_still_finds_its_place(above in 0_usize..40) {
            let before = "x\n".repeat(above) + "one\ntwo\nthree\n";
            let patch = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
            let result = applied(&[("f", &before)], patch).unwrap();
            let expected = "x\n".repeat(above) + "one\n2\nthree\n";
            prop_assert_eq!(&*result.get("f").unwrap().content, expected.as_bytes());
        }
    }

    const GIT: &str = "Some words before.\n\ndiff --git a/new.sh b/new.sh\nnew file mode 100755\nindex 0000000..1\n--- /dev/null\n+++ b/new.sh\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\ndiff --git a/gone b/gone\ndeleted file mode 100644\nindex 1..0\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\ndiff --git a/old name b/d/new name\nsimilarity index 90%\nrename from old name\nrename to d/new name\nindex 1..2 100644\n--- a/old name\n+++ b/d/new name\n@@ -1,2 +1,2 @@\n a\n-b\n+B\ndiff --git a/mode b/mode\nold mode 100644\nnew mode 100755\ndiff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n";

    #[test]
    fn new_deleted_renamed_and_empty_files_and_modes_are_applied() {
        let before = [("gone", "bye\n"), ("old name", "a\nb\n"), ("mode", "m\n")];
        let after = applied(&before, GIT).unwrap();
        let paths: Vec<&str> = after.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["d/new name", "empty", "mode", "new.sh"]);
        assert_eq!(after.get("new.sh").unwrap().content, "one\ntwo");
        assert!(after.get("new.sh").unwrap().executable && after.get("mode").unwrap().executable);
        assert_eq!(after.get("d/new name").unwrap().content, "a\nB\n");
        let names = touched(GIT).unwrap();
        assert_eq!(names, ["new.sh", "gone", "old name", "d/new name", "mode", "mode", "empty"]);
    }

    #[test]
    fn what_does_not_apply_is_told_and_changes_nothing() {
        let before = [("f", "a\nb\nc\n")];
        let hunk = |body: &str| format!("--- a/f\n+++ b/f\n{body}");
        for (patch, said) in [
            (hunk("@@ -1,1 +1,1 @@\n-x\n+y\n"), "f: hunk 1 does not apply"),
            (hunk("@@ -1,1 +1,1 @@\n-a\n+y\n@@ -1,1 +1,1 @@\n-a\n+z\n"), "hunk 2 does not apply"),
            (hunk("@@ -1,9 +1,1 @@\n-a\n+y\n"), "ends within a hunk"),
            (hunk("@@ -1,1 +1,1 @@\n-a\n-b\n"), "other numbers of lines"),
            (hunk("@@ broken @@\n"), "broken hunk header"),
            (hunk(""), "without a change"),
            ("--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n".to_owned(), "g: there is no such file"),
            ("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+b\n".to_owned(), "is to be new"),
            ("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n".to_owned(), "lines are left"),
            ("I would change line 3.".to_owned(), "no patch"),
            ("@@ -1 +1 @@\n-a\n+b\n".to_owned(), "without the name"),
        ] {
            let error = applied(&before, &patch).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn paths_links_and_binaries_that_lead_elsewhere_are_refused() {
        let add = |path: &str| format!("--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n");
        let git = |lines: &str| format!("diff --git a/x b/x\n{lines}\n");
        for patch in [
            add("b/../../etc/passwd"),
            add("/etc/passwd"),
            add("b/f/below"),
            add("\"b/\\056\\056/x\""),
            add("b//x"),
            git("new file mode 120000"),
            git("new file mode 160000"),
            git("Binary files a/x and b/x differ"),
            git("GIT binary patch"),
            git("copy from f\ncopy to x"),
            git("rename from f\nrename to ../x"),
            git("rename from f"),
            git("new file mode 777777"),
        ] {
            assert!(applied(&[("f", "a\n")], &patch).is_err(), "{patch}");
        }
        assert_eq!(unquoted("\"caf\\303\\251\"").as_deref(), Some("café"));
    }

    #[test]
    fn a_patch_that_would_take_for_ever_is_refused() {
        let before = "a\n".repeat(200_000);
        let mut patch = "--- a/f\n+++ b/f\n@@ -1,1001 +1,1001 @@\n".to_owned();
        patch.push_str(&" a\n".repeat(1000));
        patch.push_str("-b\n+c\n");
        let error = applied(&[("f", &before)], &patch).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }

    #[test]
    fn files_that_are_skipped_stay_as_they_were() {
        let patch =
            "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-nonsense\n+b\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n";
        let after = apply(&tree(&[("f", "a\n"), ("g", "a\n")]), patch, |path| path == "f").unwrap();
        assert_eq!(after.get("f").unwrap().content, "a\n");
        assert_eq!(after.get("g").unwrap().content, "b\n");
    }
}
