//! Problems that are judged by tests with names: test files beside a program, and repositories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::object::object;

use crate::problem::FileContent;
use crate::submission::Limits;

/// Test files of a framework, which the program must pass. They are read-only beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct UnitTestsProblem {
    /// `pytest`, `unittest`, `node_test`, `junit4`, `junit5`, `go_test` or `cargo_test`.
    #[schema(examples("pytest"))]
    pub framework: String,
    /// Where the program is put; the language's usual name where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
    /// The problem's own files by path, the test files among them.
    pub files: BTreeMap<String, FileContent>,
    /// Tests by the framework's names; where left out, every test that is collected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<ExpectedTest>,
    /// Whether all tests stay out of replies, with their names and messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

object!(UnitTestsProblem);

/// A test that must be there, and pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ExpectedTest {
    /// Its name.
    Name(String),
    /// Its name, and what else holds for it.
    Test(NamedTest),
}

/// A test with what holds for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct NamedTest {
    /// As the framework names it.
    pub name: String,
    /// What it is worth; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
    /// Whether its name and its message stay out of replies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

object!(NamedTest);

/// A tree of files that the submission changes: by a unified diff, or by a JSON object of path to new
/// content (null deletes). A completion's last block tagged `diff`, `patch` or `json` is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RepositoryProblem {
    /// What the submission changes.
    pub base: BaseTree,
    /// The problem's own files, such as its tests: laid over the tree after the patch, and again after
    /// the build, whatever those made of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileContent>,
    /// Commands that build it, one after the other, in the tree; each must end with exit code 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build: Vec<Vec<String>>,
    /// What the build may use; where left out, what compilers may.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub build_limits: Limits,
    /// How the tests are run.
    pub test: TestRun,
    /// Tests that fail in the base and must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fail_to_pass: Vec<ExpectedTest>,
    /// Tests that pass in the base and must go on passing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_to_pass: Vec<ExpectedTest>,
    /// Further paths that stay as the base has them: a file, `folder/`, or `**/name` in any folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<String>,
    /// What a change of such a path comes to.
    #[serde(default)]
    pub on_protected: OnProtected,
}

object!(RepositoryProblem);

/// Where the files of a repository come from: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct BaseTree {
    /// Files by path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeMap<String, FileContent>>,
    /// A tar archive, compressed by gzip or not, or a zip archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<FileContent>,
    /// A folder below the service's `repositories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

object!(BaseTree);

/// How the tests of a repository are run: by a framework of `unit_tests`, or by a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TestRun {
    /// `pytest`, `unittest` or `node_test`: results are sealed, the tree is read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<String>,
    /// `framework`: the files with tests; where left out, those that the names of tests begin with, or
    /// the problem's own files that hold tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// `framework`: arguments of pytest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// `framework`: folders of the tree that Python imports from, beside the tree itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python_path: Vec<String>,
    /// `framework`: whether code of the patch that looks at frames, memory or code objects is ended.
    #[serde(default = "yes")]
    pub watch: bool,
    /// A command, run in a writable copy of the tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// `command`: `pytest`, `tap`, `go_json`, `cargo`, `junit_xml` or `exit_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// `command`: the file that it writes its report to, where that is not standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
}

object!(TestRun);

fn yes() -> bool {
    true
}

/// What a patch that changes protected paths comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnProtected {
    /// Those changes are left out, and the flag `protected_path` is raised.
    #[default]
    Ignore,
    /// The patch is refused.
    Refuse,
}
