//! Processes as the kernel lists them: who descends from whom, and what they hold open.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One line of `proc_pid_stat(5)`, as far as tests need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `R`, `S`, `Z`, ...
    pub state: char,
    /// When it started, in clock ticks since boot: with the number, an identity.
    pub started: u64,
}

/// All processes of the machine that we can see.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

/// Children, grandchildren and so on of `root`, itself not included.
#[must_use]
pub fn descendants(root: i32) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// What the descriptors of `pid` point at, by kind: `socket`, `pipe`, `anon_inode:[eventpoll]`, or
/// a path. Descriptors of the listing itself are not counted.
#[must_use]
pub fn descriptors(pid: i32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return kinds;
    };
    for entry in entries.filter_map(Result::ok) {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        *kinds.entry(kind_of(&target)).or_insert(0) += 1;
    }
    kinds.remove(&format!("/proc/{pid}/fd"));
    kinds
}

/// `socket:[123]` becomes `socket`: the number differs each time, the kind does not.
fn kind_of(target: &Path) -> String {
    let text = target.to_string_lossy();
    match text.split_once(":[") {
        Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
        _ => text.into_owned(),
    }
}

/// The name may itself hold spaces and parentheses, so fields are counted from the last `)`.
fn parse_stat(line: &str) -> Option<Process> {
    let (head, tail) = line.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 9001 0 0";
        let process = parse_stat(line).unwrap();
        assert_eq!((process.pid, process.parent, process.state), (42, 7, 'S'));
        assert_eq!((process.name.as_str(), process.started), ("a) b (c", 9001));
    }

    #[test]
    fn a_child_is_found_until_it_is_reaped() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descendants(me).iter().any(|process| process.pid == pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants(me).iter().any(|process| process.pid == pid));
    }
}
