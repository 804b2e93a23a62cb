//! Repositories: a base tree, what a submission changes in it, a build, tests.
//!
//! # How the tree travels
//!
//! The tree lives in the judge. What a submission changes is applied there, in memory, by code of ours:
//! no `git`, no `patch` and no slot is at work, and what comes of it is a tree by type ([`super::tree`]).
//! A build gets it as an archive, in a slot of its own, and leaves one archive behind; the judge reads
//! that as it reads a stranger's, bounded, without links or paths that lead out, and lays the problem's
//! own files and the protected paths over it once more. The tests get the result in another run, with
//! nothing else of the build: no process, no file outside the tree, no descriptor.
//!
//! So whatever the build does, all it can hand on is the content of the candidate's own tree, which the
//! candidate decides about anyway; that is provable from these lines alone. Refused: a lease whose
//! writable layer lives on from stage to stage. It saves packing and unpacking (some milliseconds for
//! some megabytes), but the proof that a slot is clean after each run would need an exception, the
//! problem's files would have to be written by root into a folder where the candidate may have put
//! links, and what else lies in `/tmp` or shared memory would come along.
//!
//! With a framework, the tree is in the box and nothing can write it. With a command it is unpacked into
//! the writable folder, since `make` and the like write where their sources are.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{Limits as WireLimits, OnProtected};

use super::edits::{Edits, EditsError};
use super::tree::{Tree, TreeError, TreeFile};

/// What is changed, built and tested.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The tree before the submission.
    pub base: Arc<Tree>,
    /// Commands that build it.
    pub build: Vec<Vec<String>>,
    /// What the build may use.
    pub build_limits: WireLimits,
    /// Paths that stay as the base has them.
    pub protected: Vec<Pattern>,
    /// What a change of such a path comes to.
    pub on_protected: OnProtected,
}

/// Which paths are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One file.
    File(String),
    /// All below a folder, whose name ends with `/`.
    Below(String),
    /// Files of this name in any folder.
    Named(String),
}

impl Pattern {
    /// Reads `path`, `folder/` or `**/name`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plain =
            |path: &str| sandbox::spec::RelativePath::new(path).is_ok() && !path.contains('*');
        if let Some(name) = text.strip_prefix("**/") {
            return (plain(name) && !name.contains('/')).then(|| Self::Named(name.to_owned()));
        }
        if let Some(folder) = text.strip_suffix('/') {
            return plain(folder).then(|| Self::Below(text.to_owned()));
        }
        plain(text).then(|| Self::File(text.to_owned()))
    }

    fn holds(&self, path: &str) -> bool {
        match self {
            Self::File(file) => path == file,
            Self::Below(folder) => path.starts_with(folder.as_str()),
            Self::Named(name) => path.rsplit('/').next() == Some(name.as_str()),
        }
    }
}

/// The tree that is built and tested, and whether protected paths were to be changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The tree.
    pub tree: Tree,
    /// Whether changes were left out.
    pub left_out: bool,
}

/// Why changes cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// They cannot be applied.
    #[error(transparent)]
    Edits(#[from] EditsError),
    /// They touch what must stay.
    #[error("{path} is protected")]
    Protected {
        /// The path.
        path: String,
    },
    /// What comes of them is no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Repository {
    fn is_protected(&self, files: &[(String, Bytes)], path: &str) -> bool {
        files.iter().any(|(own, _)| own == path)
            || self.protected.iter().any(|pattern| pattern.holds(path))
    }

    /// Applies what a submission changes, and lays the problem's own `files` over it.
    ///
    /// # Errors
    /// It does not apply, or touches what must stay where that is refused.
    pub fn change(&self, source: &str, files: &[(String, Bytes)]) -> Result<Changed, ChangeError> {
        let edits = Edits::read(source)?;
        let touched = edits.touched()?;
        let protected = touched.iter().find(|path| self.is_protected(files, path));
        if let (Some(path), OnProtected::Refuse) = (protected, self.on_protected) {
            return Err(ChangeError::Protected { path: path.chars().take(200).collect() });
        }
        let tree = edits.apply(&self.base, |path| self.is_protected(files, path))?;
        let tree = overlaid(tree, files)?;
        Ok(Changed { tree, left_out: protected.is_some() })
    }

    /// What a build left, with the protected paths as they were and the problem's own `files` over it.
    ///
    /// # Errors
    /// It is no tree that can be tested.
    pub fn rebuilt(&self, archive: &[u8], files: &[(String, Bytes)]) -> Result<Tree, TreeError> {
        let mut tree = Tree::unpack(archive, super::tree::Links::LeftOut)?;
        let is_protected = |path: &str| self.protected.iter().any(|pattern| pattern.holds(path));
        let strange: Vec<String> =
            tree.iter().map(|(path, _)| path.clone()).filter(|path| is_protected(path)).collect();
        for path in strange {
            tree.take(&path);
        }
        for (path, file) in self.base.iter().filter(|(path, _)| is_protected(path)) {
            tree.put(path, file.clone())?;
        }
        overlaid(tree, files)
    }

    /// Paths of `tree` that are not as the base and the problem have them.
    #[must_use]
    pub fn candidates(&self, tree: &Tree, files: &[(String, Bytes)]) -> Vec<String> {
        let own = |path: &String| files.iter().any(|(name, _)| name == path);
        let same = |path: &String, file: &TreeFile| {
            self.base.get(path).is_some_and(|base| base.content == file.content)
        };
        let changed = tree.iter().filter(|(path, file)| !own(path) && !same(path, file));
        changed.map(|(path, _)| path.clone()).collect()
    }
}

/// The tree with `files` over it: what is in their way gives way.
fn overlaid(mut tree: Tree, files: &[(String, Bytes)]) -> Result<Tree, TreeError> {
    for (path, content) in files {
        for (at, _) in path.match_indices('/') {
            tree.take(&path[..at]);
        }
        let below = format!("{path}/");
        let inside: Vec<String> = tree
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(&below))
            .cloned()
            .collect();
        for name in inside {
            tree.take(&name);
        }
        tree.put(path, TreeFile { content: content.clone(), executable: false })?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Links;
    use super::*;

    fn repository(on_protected: OnProtected) -> Repository {
        let mut base = Tree::default();
        for (path, text) in [("a.py", "a\n"), ("conftest.py", "base\n"), ("t/test_a.py", "old\n")] {
            let content = Bytes::from(text);
            base.put(path, TreeFile { content, executable: false }).unwrap();
        }
        Repository {
            base: Arc::new(base),
            build: Vec::new(),
            build_limits: WireLimits::default(),
            protected: vec![Pattern::read("**/conftest.py").unwrap()],
            on_protected,
        }
    }

    fn files() -> Vec<(String, Bytes)> {
        vec![("t/test_a.py".to_owned(), Bytes::from("new\n"))]
    }

    const EDITS: &str = r#"{"a.py": "b\n", "conftest.py": "evil\n", "d/conftest.py": "evil\n", "t/test_a.py": null}"#;

    #[test]
    fn protected_paths_stay_and_the_problems_files_lie_over_all() {
        let changed = repository(OnProtected::Ignore).change(EDITS, &files()).unwrap();
        assert!(changed.left_out);
        let text = |path: &str| changed.tree.get(path).map(|file| file.content.clone());
        assert_eq!(text("a.py").unwrap(), "b\n");
        assert_eq!(text("conftest.py").unwrap(), "base\n");
        assert_eq!(text("t/test_a.py").unwrap(), "new\n");
        assert_eq!(text("d/conftest.py"), None);
        let candidates = repository(OnProtected::Ignore).candidates(&changed.tree, &files());
        assert_eq!(candidates, ["a.py"]);
        let refused = repository(OnProtected::Refuse).change(EDITS, &files()).unwrap_err();
        assert!(refused.to_string().contains("is protected"), "{refused}");
        let honest = repository(OnProtected::Refuse).change(r#"{"a.py": "b"}"#, &files());
        assert!(!honest.unwrap().left_out);
    }

    #[test]
    fn a_build_cannot_change_what_is_protected_or_stand_in_the_way_of_tests() {
        let mut built = Tree::default();
        for path in ["a.py", "made.so", "conftest.py", "x/conftest.py", "t/test_a.py/inside"] {
            built.put(path, TreeFile { content: Bytes::from("evil"), executable: true }).unwrap();
        }
        let archive = built.pack().unwrap();
        let tree = repository(OnProtected::Ignore).rebuilt(&archive, &files()).unwrap();
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a.py", "conftest.py", "made.so", "t/test_a.py"]);
        assert_eq!(tree.get("conftest.py").unwrap().content, "base\n");
        assert_eq!(tree.get("t/test_a.py").unwrap().content, "new\n");
        assert!(tree.get("made.so").unwrap().executable);
        assert!(Tree::unpack(&archive, Links::Refused).is_ok());
    }

    #[test]
    fn patterns_are_plain() {
        for (text, path, holds) in [
            ("a/b.py", "a/b.py", true),
            ("a/b.py", "a/b.pyc", false),
            ("a/", "a/b/c", true),
            ("a/", "ab", false),
            ("**/x", "a/x", true),
            ("**/x", "x", true),
            ("**/x", "a/x/y", false),
        ] {
            assert_eq!(Pattern::read(text).unwrap().holds(path), holds, "{text} {path}");
        }
        for broken in ["", "/a", "../a", "a/*", "**/a/b", "**/", "/"] {
            assert_eq!(Pattern::read(broken), None, "{broken}");
        }
    }
}
