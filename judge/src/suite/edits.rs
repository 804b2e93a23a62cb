//! What a submission to a repository changes: a patch, or whole files. Pure.
//!
//! A text that begins with `{` is a JSON object of path to new content, where null deletes the file;
//! any other is a unified diff ([`super::patch`]). Of a completion, the last fenced block tagged `diff`,
//! `patch` or `json` is taken, and where none is, the last without a tag.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::patch::{self, PatchError};
use super::tree::{Tree, TreeError, TreeFile};

/// Tags of fenced blocks that hold changes.
pub const FENCES: [&str; 3] = ["diff", "patch", "json"];

/// Changes of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edits<'a> {
    /// A unified diff.
    Patch(&'a str),
    /// New content by path; `None` deletes.
    Files(BTreeMap<String, Option<String>>),
}

/// Why changes cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditsError {
    /// It begins like JSON and is none, or of another shape.
    #[error("it is no JSON object of path to content or null: {0}")]
    Json(String),
    /// The patch does not apply.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// A path, or a bound.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file that is to be deleted is not there.
    #[error("{path}: it is to be deleted, and is not there")]
    NotThere {
        /// Its path.
        path: String,
    },
}

impl<'a> Edits<'a> {
    /// Reads the text of a submission.
    ///
    /// # Errors
    /// It begins like JSON and is none.
    pub fn read(source: &'a str) -> Result<Self, EditsError> {
        if !source.trim_start().starts_with('{') {
            return Ok(Self::Patch(source));
        }
        let files = serde_json::from_str(source);
        files.map(Self::Files).map_err(|error| EditsError::Json(error.to_string()))
    }

    /// The paths that it touches.
    ///
    /// # Errors
    /// It is no patch.
    pub fn touched(&self) -> Result<Vec<String>, EditsError> {
        Ok(match self {
            Self::Patch(patch) => patch::touched(patch)?,
            Self::Files(files) => files.keys().cloned().collect(),
        })
    }

    /// The tree with its changes, but for those of paths that `skips`.
    ///
    /// # Errors
    /// It does not apply.
    pub fn apply(&self, tree: &Tree, skips: impl Fn(&str) -> bool) -> Result<Tree, EditsError> {
        let files = match self {
            Self::Patch(patch) => return Ok(patch::apply(tree, patch, skips)?),
            Self::Files(files) => files,
        };
        let mut tree = tree.clone();
        let kept: Vec<_> = files.iter().filter(|(path, _)| !skips(path)).collect();
        // What is deleted goes first, so that a folder may take the place of a file.
        for (path, _) in kept.iter().filter(|(_, content)| content.is_none()) {
            if tree.take(path).is_none() {
                return Err(EditsError::NotThere { path: path.chars().take(200).collect() });
            }
        }
        for (path, content) in kept {
            if let Some(content) = content {
                let executable = tree.get(path).is_some_and(|file| file.executable);
                let content = Bytes::from(content.clone());
                tree.put(path, TreeFile { content, executable })?;
            }
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Tree {
        let mut tree = Tree::default();
        tree.put("a", TreeFile { content: Bytes::from("a\n"), executable: true }).unwrap();
        tree.put("b", TreeFile { content: Bytes::from("b\n"), executable: false }).unwrap();
        tree
    }

    fn apply(source: &str) -> Result<Tree, EditsError> {
        Edits::read(source)?.apply(&base(), |path| path == "b")
    }

    #[test]
    fn files_are_replaced_made_and_deleted() {
        let tree = apply(r#" {"a": null, "a/c": "new", "b": "skipped"}"#).unwrap();
        assert_eq!(tree.get("a/c").unwrap().content, "new");
        assert_eq!(tree.get("b").unwrap().content, "b\n");
        let tree = apply(r#"{"a": "A"}"#).unwrap();
        assert!(tree.get("a").unwrap().executable);
    }

    #[test]
    fn what_is_neither_a_patch_nor_a_map_is_told() {
        for (source, said) in [
            ("{\"a\": 1}", "no JSON object"),
            ("{", "no JSON object"),
            ("words", "no patch"),
            (r#"{"x": null}"#, "is not there"),
            (r#"{"../x": "y"}"#, "path"),
            (r#"{"/x": "y"}"#, "path"),
            (r#"{"a/x": "y"}"#, "is a file"),
        ] {
            let error = apply(source).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
