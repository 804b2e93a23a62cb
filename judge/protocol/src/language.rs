//! Which languages can be judged.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Reply of `GET /v1/languages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LanguagesResponse {
    /// Every language of the table, available or not.
    pub languages: Vec<LanguageInfo>,
}

/// One language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LanguageInfo {
    /// Its name in submissions.
    #[schema(examples("python"))]
    pub name: String,
    /// What runs its programs.
    pub runtime: Runtime,
    /// Other names that mean the same.
    pub aliases: Vec<String>,
    /// Whether the image has its toolchain.
    pub available: bool,
    /// Why it is not available; null where it is.
    pub reason: Option<String>,
    /// First line of what the toolchain says about its version, where it was asked.
    pub version: Option<String>,
    /// Problem kinds that it can be judged on.
    pub problem_kinds: Vec<String>,
    /// What accepts an assertion program; null where it is not judged on any.
    pub assertions: Option<AssertionProof>,
    /// Test frameworks of `unit_tests` that it has.
    pub frameworks: Vec<String>,
    /// The images that have its toolchain; the first is taken where a submission names none.
    pub images: Vec<String>,
}

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A process in a slot.
    Process,
    /// The WebAssembly runtime, where cpu time is counted in instructions.
    Wasm,
}

/// What accepts an assertion program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssertionProof {
    /// A one-time secret, written after the last assertion.
    Completion,
    /// Exit code 0, and what the language's test framework says: a program that ends itself before its
    /// assertions may pass.
    ExitCode,
}
