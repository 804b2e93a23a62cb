//! The small text files in which the kernel takes limits and tells counters, held open and read anew
//! each time from their start.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(super) fn put(file: &File, value: &str) -> io::Result<()> {
    file.write_at(value.as_bytes(), 0).map(drop)
}

/// Reads a small file of the kernel's whole, without allocating.
fn with_text<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> io::Result<T> {
    let mut buffer = [0; 2048];
    let length = file.read_at(&mut buffer, 0)?;
    std::str::from_utf8(&buffer[..length])
        .ok()
        .and_then(parse)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected control group file"))
}

pub(super) fn value(file: &File) -> io::Result<u64> {
    with_text(file, |text| text.trim().parse().ok())
}

pub(super) fn field(file: &File, name: &str) -> io::Result<u64> {
    with_text(file, |text| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|text| text.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_kernel_files_are_read_by_name() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
            .unwrap();
        assert_eq!(field(&file, "oom_kill ").unwrap(), 2);
        assert!(field(&file, "missing ").is_err());
    }
}
