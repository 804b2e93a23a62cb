//! A problem folder of DMOJ: `init.yml`, then files behind lines `=== name`. An archive is always
//! there.
#![no_main]

use std::io::{Cursor, Write as _};
use std::sync::LazyLock;

use fuzz::{assert_sound, context};
use judge::problem::dmoj;
use judge::problem::files::Files;
use libfuzzer_sys::fuzz_target;

static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["1.in", "1.out", "a.2.in", "a.2.out", "b/3.in", "b/3.out", "gen.py"] {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).expect("an entry begins");
        zip.write_all(b"1 2\n").expect("an entry is written");
    }
    zip.finish().expect("the archive ends").into_inner()
});

fuzz_target!(|bytes: &[u8]| {
    let mut files = Files::default();
    let mut parts = bytes.splitn(2, |byte| *byte == 0x1e);
    let init = parts.next().unwrap_or_default();
    let (init, mut rest) = match init.windows(5).position(|window| window == b"\n=== ") {
        Some(at) => (&init[..=at], &init[at + 5..]),
        None => (init, &b""[..]),
    };
    files.add("init.yml".to_owned(), init.to_vec()).expect("a plain name");
    files.add("data.zip".to_owned(), ARCHIVE.clone()).expect("a plain name");
    while !rest.is_empty() {
        let (file, next) = fuzz::cut(rest, "\n=== ");
        let (name, content) = fuzz::cut(file, "\n");
        let name = String::from_utf8_lossy(name).into_owned();
        if files.add(name.clone(), content.to_vec()).is_ok() {
            fuzz::assert_inside(&name);
        }
        rest = next;
    }
    match dmoj::read(files, &context()) {
        Ok(problem) => assert_sound(&problem),
        Err(error) => {
            assert!(!error.findings.is_empty() && !error.to_string().is_empty());
            let lines = init.split(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            let is_there = error.findings.iter().all(|finding| finding.line <= lines);
            assert!(is_there, "a line of {lines}: {error}");
        }
    }
});
