//! Languages: one table, and what of it each image can run.
//!
//! [`Languages::resolve`] reads the built-in table once and looks up each toolchain in the image; a
//! language whose toolchain is missing stays in the list with the reason. [`Languages::add`] does so
//! for further images, which may bring rows of their own. Nothing runs here.

mod toolchain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Limits as WireLimits;
use sandbox::Image;
use sandbox::image::HOST;
use sandbox::wasm::ENGINE;
use serde::Deserialize;

use crate::grade::FailurePatterns;
use crate::slots::Runtime;
use toolchain::{fill, locate};

const TABLE: &str = include_str!("languages.toml");

/// A language of the table that the image can run.
#[derive(Clone, Debug)]
pub struct Language {
    /// Its name.
    pub name: String,
    /// What runs its programs.
    pub runtime: Runtime,
    /// Tags of fenced code blocks that mean it.
    pub fences: Vec<String>,
    /// File name of the program.
    pub source: String,
    /// How a program is compiled and run.
    pub recipe: Recipe,
    /// How an assertion program is, where that is sound.
    pub assertions: Option<(Driver, Recipe)>,
    /// How a function of a program is called from outside, where that is possible.
    pub calls: Option<(CallDriver, Recipe)>,
    /// How test files are, by their framework.
    pub suites: BTreeMap<Framework, Recipe>,
    /// `NAME=value` entries.
    pub environment: Vec<String>,
    /// Modules that its warm interpreters have loaded; empty where it has none.
    pub warm: Vec<String>,
    /// How its runtime names failures.
    pub patterns: FailurePatterns,
    /// Default limits that differ from those of other languages.
    pub limits: WireLimits,
    /// Limits of its compiler that differ from those of other languages.
    pub compile_limits: WireLimits,
    /// The image that has its toolchain; `None` for the one that slots show where none is named.
    pub image: Option<Image>,
    /// What tells its toolchain from another: recipes and, once it is known, the version.
    pub toolchain: String,
    version: Vec<String>,
}

/// How to make and start a program; toolchain paths are filled in, other placeholders are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// File name of the program where it differs from the language's.
    pub source: Option<String>,
    /// What comes after assertions.
    pub epilogue: String,
    /// Argv of the compiler, where there is one.
    pub compile: Option<Vec<String>>,
    /// What compiling leaves and running needs.
    pub artifacts: Vec<String>,
    /// Argv of the program.
    pub run: Vec<String>,
}

/// How assertions are made to prove that they ran to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// A Python program that runs both parts.
    Python,
    /// A Node program that runs both parts.
    Javascript,
    /// A C program that loads both parts as a shared object.
    Native,
    /// The same for Rust.
    Rust,
    /// A Java class that calls the program's `main`.
    Java,
    /// One program of both parts, and at its end a line in its language that passes the secret on.
    Joined,
    /// One program of both parts; what starts it passes the secret on where it ended with code 0 and
    /// said what its framework says. That is the rule of MultiPL-E, and no more: where tests are called
    /// from `main`, a candidate that ends the process in one of its functions passes.
    ExitCode,
}

/// What runs test files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// pytest.
    Pytest,
    /// `unittest` of Python's library.
    Unittest,
    /// `node:test` of Node's library.
    NodeTest,
    /// JUnit 4.
    Junit4,
    /// JUnit 5.
    Junit5,
}

impl Framework {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pytest, Self::Unittest, Self::NodeTest, Self::Junit4, Self::Junit5];

    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::NodeTest => "node_test",
            Self::Junit4 => "junit4",
            Self::Junit5 => "junit5",
        }
    }
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallDriver {
    /// A Python program that runs the candidate's.
    Python,
    /// A Node program that runs the candidate's.
    Javascript,
    /// A Java class that finds the method by its name.
    Java,
    /// C++ templates that read the function's type.
    Cpp,
}

/// A row of the table, and whether the image can run it.
#[derive(Clone, Debug)]
struct Entry {
    row: Row,
    language: Result<Arc<Language>, String>,
    version: Option<String>,
}

/// What one image can run.
#[derive(Clone, Debug)]
struct Shelf {
    image: String,
    entries: Vec<Entry>,
}

/// Every language of the table, in every image.
#[derive(Clone, Debug)]
pub struct Languages {
    /// That of the image that slots show where none is named comes first.
    shelves: Vec<Shelf>,
}

/// Why a language cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// It is not in the table.
    #[error("language {name:?} is not known")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What can be asked for.
        known: Vec<String>,
    },
    /// There is no image of this name.
    #[error("image {name:?} is not known")]
    UnknownImage {
        /// What was asked for.
        name: String,
        /// What can be asked for.
        known: Vec<String>,
    },
    /// Its toolchain is not in the image.
    #[error("language {name:?} is not available: {reason}")]
    Unavailable {
        /// What was asked for.
        name: String,
        /// What is missing.
        reason: String,
    },
}

/// The built-in table cannot be read; a test holds that it can.
#[derive(Debug, thiserror::Error)]
#[error("the table of languages cannot be read: {0}")]
pub struct TableError(#[from] toml::de::Error);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    language: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    aliases: Vec<String>,
    fences: Vec<String>,
    source: String,
    #[serde(default)]
    runtime: Runtime,
    programs: Programs,
    compile: Option<Vec<String>>,
    #[serde(default)]
    artifacts: Vec<String>,
    run: Vec<String>,
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    environment: Vec<String>,
    #[serde(default)]
    warm: Vec<String>,
    #[serde(default)]
    memory_failures: Vec<String>,
    #[serde(default)]
    assertion_failures: Vec<String>,
    #[serde(default)]
    limits: WireLimits,
    #[serde(default)]
    compile_limits: WireLimits,
    assertions: Option<DriverRow<Driver>>,
    calls: Option<DriverRow<CallDriver>>,
    #[serde(default)]
    suites: BTreeMap<Framework, SuiteRow>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteRow {
    #[serde(default)]
    programs: Programs,
    compile: Option<Vec<String>>,
    #[serde(default)]
    artifacts: Vec<String>,
    run: Vec<String>,
}

impl SuiteRow {
    /// The recipe; `None` where the image lacks a program.
    fn resolve(
        &self,
        paths: &BTreeMap<String, String>,
        has: &impl Fn(&str) -> bool,
    ) -> Option<Recipe> {
        let mut paths = paths.clone();
        paths.extend(locate(&self.programs, has).ok()?);
        Some(Recipe {
            source: None,
            epilogue: String::new(),
            compile: self.compile.as_ref().map(|argv| fill(argv, &paths)),
            artifacts: self.artifacts.clone(),
            run: fill(&self.run, &paths),
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DriverRow<D> {
    driver: D,
    source: Option<String>,
    #[serde(default)]
    epilogue: String,
    #[serde(default)]
    programs: Programs,
    compile: Option<Vec<String>>,
    #[serde(default)]
    artifacts: Vec<String>,
    run: Vec<String>,
}

impl<D: Copy> DriverRow<D> {
    /// The recipe; `None` where the image lacks a program.
    fn resolve(
        &self,
        paths: &BTreeMap<String, String>,
        has: &impl Fn(&str) -> bool,
    ) -> Option<(D, Recipe)> {
        let mut paths = paths.clone();
        paths.extend(locate(&self.programs, has).ok()?);
        let recipe = Recipe {
            source: self.source.clone(),
            epilogue: self.epilogue.clone(),
            compile: self.compile.as_ref().map(|argv| fill(argv, &paths)),
            artifacts: self.artifacts.clone(),
            run: fill(&self.run, &paths),
        };
        Some((self.driver, recipe))
    }
}

/// A program's name in the table, and where it may lie.
type Programs = BTreeMap<String, Vec<String>>;

impl Languages {
    /// Reads the table and asks `has_executable` for each toolchain.
    ///
    /// # Errors
    /// [`TableError`] where the built-in table is broken.
    pub fn resolve(has_executable: impl Fn(&str) -> bool) -> Result<Self, TableError> {
        let entries = entries(None, None, &has_executable)?;
        Ok(Self { shelves: vec![Shelf { image: HOST.to_owned(), entries }] })
    }

    /// The languages of a service that has no slots: those that need no image.
    ///
    /// # Errors
    /// [`TableError`] where the built-in table is broken.
    pub fn modules_alone() -> Result<Self, TableError> {
        let mut languages = Self::resolve(|_| false)?;
        for entry in languages.shelves.iter_mut().flat_map(|shelf| &mut shelf.entries) {
            if entry.language.is_err() {
                let reason = "this service runs WebAssembly modules alone";
                entry.language = Err(reason.to_owned());
            }
        }
        Ok(languages)
    }

    /// Adds what `image` can run, by the built-in table and by `rows` of its own, which come first.
    /// `warmed` gives the image that programs are to run in, knowing what it can run.
    ///
    /// # Errors
    /// [`TableError`] where `rows` are broken.
    pub fn add(
        &mut self,
        image: &Image,
        rows: Option<&str>,
        warmed: impl FnOnce(&Image, &Self) -> Image,
    ) -> Result<(), TableError> {
        let has = |path: &str| image.has_executable(path);
        let name = image.name().to_owned();
        let plain = entries(Some(image), rows, &has)?;
        let alone = Self { shelves: vec![Shelf { image: name.clone(), entries: plain }] };
        let image = warmed(image, &alone);
        let entries = entries(Some(&image), rows, &has)?;
        self.shelves.push(Shelf { image: name, entries });
        Ok(())
    }

    /// The language with this name or alias: in the image of this name, or where none is named in the
    /// first that has its toolchain.
    ///
    /// # Errors
    /// It is unknown, or no image has a toolchain for it.
    pub fn find(&self, name: &str, image: Option<&str>) -> Result<Arc<Language>, LanguageError> {
        let lower = name.to_lowercase();
        let shelves: Vec<&Shelf> = match image {
            None => self.shelves.iter().collect(),
            Some(image) => {
                let shelf = self.shelves.iter().find(|shelf| shelf.image == image);
                vec![shelf.ok_or_else(|| LanguageError::UnknownImage {
                    name: image.chars().take(64).collect(),
                    known: self.shelves.iter().map(|shelf| shelf.image.clone()).collect(),
                })?]
            }
        };
        let found: Vec<&Entry> = shelves.iter().filter_map(|shelf| shelf.entry(&lower)).collect();
        let Some(first) = found.first() else {
            let known = shelves.iter().flat_map(|shelf| &shelf.entries);
            let known: BTreeSet<String> = known.map(|entry| entry.row.name.clone()).collect();
            let name = name.chars().take(64).collect();
            return Err(LanguageError::Unknown { name, known: known.into_iter().collect() });
        };
        match found.iter().find_map(|entry| entry.language.as_ref().ok()) {
            Some(language) => Ok(Arc::clone(language)),
            None => Err(LanguageError::Unavailable {
                name: first.row.name.clone(),
                reason: first.language.as_ref().err().cloned().unwrap_or_default(),
            }),
        }
    }

    /// The language whose files have this extension.
    #[must_use]
    pub fn by_extension(&self, extension: &str) -> Option<&str> {
        let extension = extension.to_lowercase();
        let has = |row: &Row| {
            row.source.rsplit('.').next() == Some(&extension) || row.fences.contains(&extension)
        };
        self.shelves
            .iter()
            .flat_map(|shelf| &shelf.entries)
            .map(|entry| &entry.row)
            .find(|row| has(row))
            .map(|row| row.name.as_str())
    }

    /// The languages that can be used, in every image that has them.
    pub fn available(&self) -> impl Iterator<Item = &Arc<Language>> {
        let entries = self.shelves.iter().flat_map(|shelf| &shelf.entries);
        entries.filter_map(|entry| entry.language.as_ref().ok())
    }

    /// The names of all images, that which slots show where none is named first.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.shelves.iter().map(|shelf| shelf.image.as_str())
    }

    /// Notes what a toolchain of an image says of its version.
    pub fn set_version(&mut self, language: &Language, version: &str) {
        let image = language.image.as_ref().map_or(HOST, Image::name);
        let shelves = self.shelves.iter_mut().filter(|shelf| shelf.image == image);
        let entries = shelves.flat_map(|shelf| &mut shelf.entries);
        for entry in entries.filter(|entry| entry.row.name == language.name) {
            if let Ok(language) = &mut entry.language {
                Arc::make_mut(language).toolchain.push_str(version);
            }
            entry.version = Some(version.to_owned());
        }
    }

    /// The list for clients: each language once, as the first image has it that can run it.
    #[must_use]
    pub fn describe(&self) -> protocol::LanguagesResponse {
        let mut languages: Vec<protocol::LanguageInfo> = Vec::new();
        for shelf in &self.shelves {
            for entry in &shelf.entries {
                let mut info = entry.describe();
                if info.available {
                    info.images.push(shelf.image.clone());
                }
                match languages.iter_mut().find(|known| known.name == info.name) {
                    None => languages.push(info),
                    // It is the same in every image.
                    Some(known) if known.available && entry.row.programs.is_empty() => {}
                    Some(known) if known.available => known.images.append(&mut info.images),
                    Some(known) if info.available => *known = info,
                    Some(_) => {}
                }
            }
        }
        protocol::LanguagesResponse { languages }
    }
}

impl Shelf {
    fn entry(&self, name: &str) -> Option<&Entry> {
        let named = |row: &Row| row.name == name || row.aliases.iter().any(|alias| alias == name);
        self.entries.iter().find(|entry| named(&entry.row))
    }
}

/// The rows of the built-in table, and before them those that an image brings; a name is taken once.
fn entries(
    image: Option<&Image>,
    rows: Option<&str>,
    has_executable: &impl Fn(&str) -> bool,
) -> Result<Vec<Entry>, TableError> {
    let mut table: Vec<Row> = Vec::new();
    for text in rows.into_iter().chain([TABLE]) {
        for row in toml::from_str::<Table>(text)?.language {
            if !table.iter().any(|known| known.name == row.name) {
                table.push(row);
            }
        }
    }
    let entry = |row: Row| {
        let language = resolve_row(&row, image, has_executable).map(Arc::new);
        let version = row.version.is_empty().then(|| ENGINE.to_owned());
        Entry { row, language, version }
    };
    Ok(table.into_iter().map(entry).collect())
}

impl Entry {
    fn describe(&self) -> protocol::LanguageInfo {
        let assertions = match &self.language {
            Ok(language) => language.assertions.is_some(),
            Err(_) => self.row.assertions.is_some(),
        };
        let calls = match &self.language {
            Ok(language) => language.calls.is_some(),
            Err(_) => self.row.calls.is_some(),
        };
        let suites: Vec<Framework> = match &self.language {
            Ok(language) => language.suites.keys().copied().collect(),
            Err(_) => self.row.suites.keys().copied().collect(),
        };
        let kinds = [
            "stdio",
            "dmoj",
            "assertions",
            "function",
            "input_output",
            "livecodebench",
            "unit_tests",
        ];
        let judged = |kind: &str| match kind {
            "assertions" => assertions,
            "function" => calls,
            "unit_tests" => !suites.is_empty(),
            _ => true,
        };
        protocol::LanguageInfo {
            name: self.row.name.clone(),
            runtime: self.row.runtime.to_wire(),
            aliases: self.row.aliases.clone(),
            available: self.language.is_ok(),
            reason: self.language.as_ref().err().cloned(),
            version: self.version.clone(),
            assertions: self.row.assertions.as_ref().map(|row| match row.driver {
                Driver::ExitCode => protocol::AssertionProof::ExitCode,
                Driver::Python
                | Driver::Javascript
                | Driver::Native
                | Driver::Rust
                | Driver::Java
                | Driver::Joined => protocol::AssertionProof::Completion,
            }),
            problem_kinds: kinds
                .into_iter()
                .filter(|kind| judged(kind))
                .map(str::to_owned)
                .collect(),
            frameworks: suites.iter().map(|framework| framework.name().to_owned()).collect(),
            images: Vec::new(),
        }
    }
}

impl Language {
    /// Argv that makes the toolchain name its version.
    #[must_use]
    pub fn version_argv(&self) -> &[String] {
        &self.version
    }
}

fn resolve_row(
    row: &Row,
    image: Option<&Image>,
    has: &impl Fn(&str) -> bool,
) -> Result<Language, String> {
    let paths = locate(&row.programs, has)?;
    let version = fill(&row.version, &paths);
    let recipe = Recipe {
        source: None,
        epilogue: String::new(),
        compile: row.compile.as_ref().map(|argv| fill(argv, &paths)),
        artifacts: row.artifacts.clone(),
        run: fill(&row.run, &paths),
    };
    let assertions = row.assertions.as_ref().and_then(|row| row.resolve(&paths, has));
    let calls = row.calls.as_ref().and_then(|row| row.resolve(&paths, has));
    let suites: BTreeMap<Framework, Recipe> = row
        .suites
        .iter()
        .filter_map(|(framework, row)| Some((*framework, row.resolve(&paths, has)?)))
        .collect();
    let toolchain =
        format!("{image:?} {recipe:?} {assertions:?} {calls:?} {suites:?} {:?}", row.environment);
    Ok(Language {
        toolchain,
        name: row.name.clone(),
        runtime: row.runtime,
        fences: row.fences.clone(),
        source: row.source.clone(),
        recipe,
        assertions,
        calls,
        suites,
        environment: row.environment.clone(),
        warm: row.warm.clone(),
        patterns: FailurePatterns {
            memory: row.memory_failures.clone(),
            assertion: row.assertion_failures.clone(),
        },
        limits: row.limits,
        compile_limits: row.compile_limits,
        image: image.cloned(),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_names_are_unique() {
        let languages = Languages::resolve(|_| true).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for entry in &languages.shelves[0].entries {
            assert!(entry.language.is_ok(), "{:?}", entry.language);
            for name in std::iter::once(&entry.row.name).chain(&entry.row.aliases) {
                assert_eq!(*name, name.to_lowercase());
                assert!(names.insert(name.clone()), "{name} is there twice");
            }
        }
        assert!(languages.available().count() >= 30);
    }

    #[test]
    fn the_first_candidate_that_exists_is_taken() {
        let languages =
            Languages::resolve(|path| path != "/usr/local/bin/rustc" && path != "/usr/bin/rustc")
                .unwrap();
        let rust = languages.find("RS", None).unwrap();
        assert_eq!(rust.recipe.compile.as_ref().unwrap()[0], "/opt/rust/bin/rustc");
    }

    #[test]
    fn a_missing_toolchain_is_named() {
        let languages = Languages::resolve(|path| path.contains("python")).unwrap();
        assert!(languages.find("python", None).is_ok());
        let error = languages.find("c", None).unwrap_err();
        assert!(error.to_string().contains("/usr/bin/gcc"), "{error}");
        let described = languages.describe();
        let c = described.languages.iter().find(|language| language.name == "c").unwrap();
        assert!(!c.available && c.reason.is_some());
    }

    #[test]
    fn an_unknown_language_comes_with_the_known_ones() {
        let languages = Languages::resolve(|_| true).unwrap();
        let LanguageError::Unknown { known, .. } = languages.find("cobol", None).unwrap_err()
        else {
            panic!("cobol is known");
        };
        assert!(known.contains(&"python".to_owned()));
    }

    #[test]
    fn assertions_are_left_out_where_their_driver_lacks_a_program() {
        let languages = Languages::resolve(|path| !path.ends_with("/cat")).unwrap();
        assert!(languages.find("java", None).unwrap().assertions.is_none());
    }

    #[test]
    fn no_toolchain_placeholder_is_left() {
        let languages = Languages::resolve(|_| true).unwrap();
        let known =
            ["{box}", "{entry}", "{heap_mib}", "{class}", "{main_class}", "{source}", "{tests}"];
        for language in languages.available() {
            let recipes = std::iter::once(&language.recipe)
                .chain(language.assertions.as_ref().map(|(_, recipe)| recipe))
                .chain(language.calls.as_ref().map(|(_, recipe)| recipe))
                .chain(language.suites.values());
            for argument in recipes.flat_map(|r| r.compile.iter().flatten().chain(&r.run)) {
                let rest = known.iter().fold(argument.clone(), |text, name| text.replace(name, ""));
                assert!(!rest.contains('{'), "{}: {argument}", language.name);
            }
        }
    }
}
