//! Recipes: images as this project describes them. Text only; reading one runs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ImageError;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::spec::RelativePath;

/// `images/NAME/recipe.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One sentence.
    pub about: String,
    /// The image below; where there is none, a small Debian system is made.
    pub base: Option<String>,
    /// Another release of Debian than that of the images below.
    pub suite: Option<String>,
    /// Debian packages.
    #[serde(default)]
    pub apt: Vec<String>,
    /// Python packages, `name==version`; binary ones only, so nothing of theirs runs here.
    #[serde(default)]
    pub pip: Vec<String>,
    /// npm packages, `name@version`; none of their scripts is run.
    #[serde(default)]
    pub npm: Vec<String>,
    /// Files, by their path in the image.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Files of the recipe's folder, by their path in the image.
    #[serde(default)]
    pub copies: BTreeMap<String, String>,
    /// Folders and files to leave out.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Commands of a shell, as root inside the image, without network unless `network` is set.
    #[serde(default)]
    pub post: Vec<String>,
    /// Whether `post` needs the network.
    #[serde(default)]
    pub network: bool,
    /// `NAME=value` entries that programs need, beside those of the image below.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Names of the languages that it is meant for.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Rows for the table of languages, where the built-in ones do not fit.
    pub language_rows: Option<String>,
    /// Python modules that warm interpreters have loaded, beside those of the image below.
    #[serde(default)]
    pub preload: Vec<String>,
    /// Why nobody has built it yet, where that is so.
    pub untested: Option<String>,
}

/// `images/NAME/lock.toml`: what a build was made of, and what came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Digest of the layer.
    pub layer: String,
    /// Digest of the image below; empty where there is none.
    #[serde(default)]
    pub base: String,
    /// Debian packages that it adds: name to version and digest of the archive.
    #[serde(default)]
    pub apt: BTreeMap<String, String>,
    /// Python packages: name to version.
    #[serde(default)]
    pub pip: BTreeMap<String, String>,
    /// npm packages: name to version and integrity.
    #[serde(default)]
    pub npm: BTreeMap<String, String>,
}

impl Lock {
    /// What differs from another build, a line each.
    #[must_use]
    pub fn drift(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, then, now) in [
            ("apt", &self.apt, &now.apt),
            ("pip", &self.pip, &now.pip),
            ("npm", &self.npm, &now.npm),
        ] {
            let names: std::collections::BTreeSet<_> = then.keys().chain(now.keys()).collect();
            for name in names {
                let (then, now) = (then.get(name), now.get(name));
                if then != now {
                    let show = |it: Option<&String>| it.map_or("none", String::as_str).to_owned();
                    lines.push(format!(
                        "{what} {name}: locked {}, found {}",
                        show(then),
                        show(now)
                    ));
                }
            }
        }
        if self.base != now.base {
            lines.push(format!("base: locked {}, found {}", self.base, now.base));
        }
        if self.layer != now.layer {
            lines.push(format!("layer: locked {}, built {}", self.layer, now.layer));
        }
        lines
    }
}

/// A folder of recipes.
#[derive(Clone, Debug)]
pub struct Recipes {
    root: PathBuf,
}

impl Recipes {
    /// Those in `root`, a folder for each.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The names of all recipes.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, ImageError> {
        let entries = fs::read_dir(&self.root).map_err(ImageError::at("list", &self.root))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(ImageError::at("list", &self.root))?;
            if entry.path().join("recipe.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The folder of a recipe.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// There is none, or it has unknown keys or values that make no sense.
    pub fn recipe(&self, name: &str) -> Result<Recipe, ImageError> {
        RelativePath::new(name).map_err(|error| ImageError::refused(name, error.to_string()))?;
        let path = self.folder(name).join("recipe.toml");
        let text = read_text(&path)?;
        let recipe: Recipe = toml::from_str(&text)
            .map_err(|error| ImageError::refused(path.display().to_string(), error.to_string()))?;
        recipe.check(&path)?;
        Ok(recipe)
    }

    /// Reads a recipe's lock file, where it has one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lock(&self, name: &str) -> Result<Option<Lock>, ImageError> {
        let path = self.folder(name).join("lock.toml");
        if !path.exists() {
            return Ok(None);
        }
        let text = read_text(&path)?;
        toml::from_str(&text)
            .map(Some)
            .map_err(|error| ImageError::refused(path.display().to_string(), error.to_string()))
    }

    /// Writes a recipe's lock file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_lock(&self, name: &str, lock: &Lock) -> Result<(), ImageError> {
        let path = self.folder(name).join("lock.toml");
        let text = toml::to_string(lock)
            .map_err(|error| ImageError::refused(path.display().to_string(), error.to_string()))?;
        let text = format!("# Written by `assay image build --write-lock`.\n{text}");
        fs::write(&path, text).map_err(ImageError::at("write", &path))
    }

    /// The images to build for `name`, lowest first, itself last.
    ///
    /// # Errors
    /// A recipe is missing or broken, or the bases go in a circle.
    pub fn chain(&self, name: &str) -> Result<Vec<String>, ImageError> {
        let mut chain = vec![name.to_owned()];
        let mut recipe = self.recipe(name)?;
        while let Some(base) = recipe.base {
            if chain.contains(&base) {
                return Err(ImageError::refused(name, "is, through its bases, its own base"));
            }
            recipe = self.recipe(&base)?;
            chain.push(base);
        }
        chain.reverse();
        Ok(chain)
    }
}

fn read_text(path: &Path) -> Result<String, ImageError> {
    let found = fs::metadata(path).map_err(ImageError::at("read", path))?;
    if found.len() > MANIFEST_BYTES_MAX {
        return Err(ImageError::refused(path.display().to_string(), "is too large"));
    }
    fs::read_to_string(path).map_err(ImageError::at("read", path))
}

impl Recipe {
    fn check(&self, path: &Path) -> Result<(), ImageError> {
        let wrong = |reason: String| ImageError::refused(path.display().to_string(), reason);
        for place in self.files.keys().chain(self.copies.keys()).chain(&self.remove) {
            RelativePath::new(place.as_str()).map_err(|error| wrong(error.to_string()))?;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "+.-:~@/_=[]<>,".contains(c);
        for package in self.apt.iter().chain(&self.pip).chain(&self.npm) {
            let starts_well = package.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@');
            if !starts_well || !package.chars().all(plain) {
                return Err(wrong(format!("{package:?} is no package")));
            }
        }
        if let Some(package) = self.pip.iter().find(|it| !it.contains("==")) {
            return Err(wrong(format!("pip: {package:?} has no version: NAME==VERSION")));
        }
        if let Some(package) = self.npm.iter().find(|it| it.rfind('@').is_none_or(|at| at == 0)) {
            return Err(wrong(format!("npm: {package:?} has no version: NAME@VERSION")));
        }
        if self.base.is_none() && !(self.pip.is_empty() && self.npm.is_empty()) {
            return Err(wrong("an image without a base holds Debian packages only".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipes(recipes: &[(&str, &str)]) -> (tempfile::TempDir, Recipes) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in recipes {
            fs::create_dir(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("recipe.toml"), text).unwrap();
        }
        let recipes = Recipes::at(root.path());
        (root, recipes)
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "about = \"x\"\npackages = [\"a\"]",
            "about = \"x\"\nbase = \"b\"\npip = [\"numpy\"]",
            "about = \"x\"\nbase = \"b\"\nnpm = [\"@scope/name\"]",
            "about = \"x\"\napt = [\"--allow-unauthenticated\"]",
            "about = \"x\"\napt = [\"a; reboot\"]",
            "about = \"x\"\nfiles = { \"../etc/passwd\" = \"x\" }",
            "about = \"x\"\npip = [\"numpy==1\"]",
        ] {
            let (_root, recipes) = recipes(&[("a", bad)]);
            assert!(recipes.recipe("a").is_err(), "{bad} was accepted");
        }
        let (_root, recipes) = recipes(&[("a", "about = \"x\"\napt = [\"g++\", \"python3:any\"]")]);
        assert!(recipes.recipe("a").is_ok());
        assert!(recipes.recipe("../a").is_err());
    }

    #[test]
    fn a_chain_ends_at_what_has_no_base_and_never_in_a_circle() {
        let (_root, recipes) = recipes(&[
            ("a", "about = \"x\""),
            ("b", "about = \"x\"\nbase = \"a\""),
            ("c", "about = \"x\"\nbase = \"b\""),
            ("d", "about = \"x\"\nbase = \"e\""),
            ("e", "about = \"x\"\nbase = \"d\""),
        ]);
        assert_eq!(recipes.chain("c").unwrap(), ["a", "b", "c"]);
        assert!(recipes.chain("d").is_err());
        assert_eq!(recipes.names().unwrap().len(), 5);
    }

    #[test]
    fn drift_is_named() {
        let of = |version: &str| Lock {
            apt: [("gcc".to_owned(), version.to_owned())].into(),
            ..Lock::default()
        };
        assert!(of("1").drift(&of("1")).is_empty());
        assert_eq!(of("1").drift(&of("2")), ["apt gcc: locked 1, found 2"]);
        assert_eq!(Lock::default().drift(&of("2")), ["apt gcc: locked none, found 2"]);
    }
}
