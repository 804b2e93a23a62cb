//! Edits of a repository: a unified diff, or JSON, on a small tree.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use fuzz::assert_tree;
use judge::suite::edits::Edits;
use judge::suite::tree::{Tree, TreeFile};
use libfuzzer_sys::fuzz_target;

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let mut tree = Tree::default();
    for (path, content) in [
        ("a.py", "def add(a, b):\n    return a - b\n\n\ndef negate(a):\n    return -a\n"),
        ("b/c.txt", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"),
        ("b/no_newline", "last"),
        ("empty", ""),
        ("tests/test_a.py", "assert True\n"),
    ] {
        let file = TreeFile { content: Bytes::from(content), executable: path == "a.py" };
        tree.put(path, file).expect("a plain path");
    }
    tree
});

fuzz_target!(|bytes: &[u8]| {
    let source = String::from_utf8_lossy(bytes);
    let Ok(edits) = Edits::read(&source) else { return };
    let is_kept = |path: &str| path.starts_with("tests/");
    let Ok(tree) = edits.apply(&TREE, is_kept) else { return };
    assert_tree(&tree);
    for (path, file) in TREE.iter().filter(|(path, _)| is_kept(path)) {
        assert_eq!(tree.get(path), Some(file), "{path} is protected");
    }
    // What changed is among what it says that it touches.
    let touched = edits.touched().expect("what applies can be listed");
    for (path, file) in tree.iter() {
        let is_same = TREE.get(path) == Some(file);
        assert!(is_same || touched.contains(path), "{path} changed unsaid");
    }
});
