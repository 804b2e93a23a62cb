//! `assay judge` as a person at a terminal, or a script, meets it.

use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}
