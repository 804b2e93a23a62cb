//! Tables in `tests/README.md` that follow from what the tests are, and cannot go stale: each stands
//! between two marks and is compared with what makes it. `UPDATE_GOLDEN=1` writes it anew.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Checks that the table of this name is `table`.
pub(crate) fn documented(name: &str, table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).context("tests/README.md")?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from =
        text.find(&begin).with_context(|| format!("there is no mark {begin}"))? + begin.len();
    let to = text[from..].find(&end).with_context(|| format!("there is no mark {end}"))? + from;
    let table = format!("\n{table}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..]))?;
        return Ok(());
    }
    ensure!(
        text[from..to] == table,
        "tests/README.md has another table of {name}; UPDATE_GOLDEN=1 writes this one:\n{table}"
    );
    Ok(())
}

/// A table: a line for each row, the first of which is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        text.push_str(&line(row));
        if at == 0 {
            text.push_str(&format!("|{}\n", "---|".repeat(row.len())));
        }
    }
    text
}
