//! Reads what a driver wrote about a session of tests: which test began last, and the sealed report.
//!
//! The report is one line with a message authentication code (RFC 2104 over SHA-256) of its text, by a
//! key that was handed to the driver alone. A line that looks like a report and has another code is
//! nothing but a sign that the candidate writes such lines.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::grade::Secret;

const REPORT: &[u8] = b"assay-report ";
const RUNNING: &[u8] = b"assay-running ";
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// What a driver wrote.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The test that began last. Not sealed: good for a message, and for nothing else.
    pub running: Option<String>,
    /// What came of the session, where it came to its end.
    pub report: Option<Report>,
    /// Whether there are reports of another hand.
    pub forged: bool,
}

/// What came of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Whether the driver's own test failed, as it must.
    pub control: bool,
    /// Names of all tests that were found.
    pub collected: Vec<String>,
    /// What came of each, in its phases.
    pub results: Vec<Entry>,
    /// What could not be loaded, and why.
    pub errors: Vec<(String, String)>,
    /// Signs that something was tampered with.
    pub faults: Vec<String>,
}

/// One phase of one test: its name, the phase, what it came to, and what was said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry(pub String, pub String, pub Came, pub String);

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Came {
    /// It passed.
    Passed,
    /// An assertion failed.
    Failed,
    /// Something else was thrown.
    Crashed,
    /// It ran out of memory.
    Memory,
    /// It is marked to be skipped.
    Skipped,
    /// It was left while it ran.
    Left,
    /// It is expected to fail, and did.
    Xfailed,
}

/// Reads standard output of a session whose key is `secret`.
#[must_use]
pub fn read(stdout: &[u8], secret: &Secret) -> Ledger {
    let mut ledger = Ledger::default();
    for line in stdout.split(|byte| *byte == b'\n') {
        if let Some(name) = line.strip_prefix(RUNNING) {
            ledger.running = serde_json::from_slice(name).ok().or(ledger.running);
        } else if let Some(sealed) = line.strip_prefix(REPORT) {
            match open(sealed, secret) {
                Some(report) if ledger.report.is_none() => ledger.report = Some(report),
                Some(_) | None => ledger.forged = true,
            }
        }
    }
    ledger
}

fn open(sealed: &[u8], secret: &Secret) -> Option<Report> {
    let space = sealed.iter().position(|byte| *byte == b' ')?;
    let (code, body) = (&sealed[..space], &sealed[space + 1..]);
    let expected = authentication_code(secret.as_str().as_bytes(), body);
    if code != expected.as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// The code of `body` in hexadecimal digits.
#[must_use]
pub fn authentication_code(key: &[u8], body: &[u8]) -> String {
    let mut block = [0; BLOCK];
    block[..key.len().min(BLOCK)].copy_from_slice(&key[..key.len().min(BLOCK)]);
    let padded = |byte: u8| block.map(|part| part ^ byte);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::grade::proof::SECRET_BYTES;

    pub(crate) fn key() -> Secret {
        Secret::new([7; SECRET_BYTES])
    }

    pub(crate) fn sealed(body: &str) -> String {
        let code = authentication_code(key().as_str().as_bytes(), body.as_bytes());
        format!("\nassay-report {code} {body}\n")
    }

    const BODY: &str = r#"{"control":true,"collected":["a"],"results":[["a","call","passed",""]],
        "errors":[],"faults":[]}"#;

    fn body() -> String {
        BODY.replace('\n', "")
    }

    #[test]
    fn the_code_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let code = authentication_code(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(code, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_sealed_report_is_read_among_noise() {
        let output = format!("x\nassay-running \"a\"\n{}y\n", sealed(&body()));
        let ledger = read(output.as_bytes(), &key());
        assert_eq!(ledger.running.as_deref(), Some("a"));
        assert!(!ledger.forged);
        assert_eq!(ledger.report.unwrap().results[0].2, Came::Passed);
    }

    #[test]
    fn a_report_that_was_changed_forged_or_repeated_counts_for_nothing() {
        let other = Secret::new([8; SECRET_BYTES]);
        assert!(read(sealed(&body()).as_bytes(), &other).report.is_none());
        let changed = sealed(&body()).replace("call", "cull");
        let ledger = read(changed.as_bytes(), &key());
        assert!(ledger.report.is_none() && ledger.forged);
        let twice = sealed(&body()).repeat(2);
        assert!(read(twice.as_bytes(), &key()).forged);
        for broken in ["assay-report", "assay-report ", "assay-report x", "assay-report x {}"] {
            assert!(read(broken.as_bytes(), &key()).report.is_none(), "{broken}");
        }
    }
}
