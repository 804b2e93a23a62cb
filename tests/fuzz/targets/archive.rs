//! Archives of problems: zip for their files, tar for a tree, compressed or not.
#![no_main]

use fuzz::{assert_inside, assert_tree};
use judge::limits::{PROBLEM_BYTES_MAX, PROBLEM_FILES_MAX};
use judge::problem::files::Files;
use judge::suite::tree::{Links, Tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut files = Files::default();
    files.add("a.zip".to_owned(), bytes.to_vec()).expect("a plain name");
    if let Ok(names) = files.unpack("a.zip") {
        assert!(names.iter().all(|name| files.get(name).is_some()));
        let mut bytes = 0;
        for (name, content) in files.iter() {
            assert_inside(name);
            bytes += content.len();
        }
        assert!(bytes <= PROBLEM_BYTES_MAX && files.iter().count() <= PROBLEM_FILES_MAX);
    }
    for links in [Links::Refused, Links::LeftOut] {
        let Ok(tree) = Tree::unpack(bytes, links) else { continue };
        assert_tree(&tree);
        if let Ok(packed) = tree.pack() {
            assert_eq!(Tree::unpack(&packed, Links::Refused).as_ref(), Ok(&tree));
        }
    }
});
