//! What a model wrote, and the program or the edits in it.
#![no_main]

use judge::extract::{Rule, extract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let completion = String::from_utf8_lossy(bytes);
    let tags = ["python".to_owned(), "py".to_owned()];
    let found = extract(&completion, &tags);
    let is_none = matches!(found.rule, Rule::NoFence | Rule::UnfinishedReasoning);
    assert_eq!(found.source.is_none(), is_none, "{:?}", found.rule);
    if let Some(source) = &found.source {
        assert!(source.len() <= completion.len());
        let all_there = |line: &str| completion.contains(line);
        assert!(source.split_inclusive('\n').all(all_there), "a line that nobody wrote");
    }
    fenced(&completion, &tags);
});

/// A program is taken out of a fence that it cannot close as it was put in.
fn fenced(program: &str, tags: &[String]) {
    if program.contains("</think>") {
        return;
    }
    let longest = program.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let completion = format!("{fence}python\n{program}\n{fence}\n");
    let found = extract(&completion, tags);
    assert_eq!(found.rule, Rule::TaggedFence);
    let program = format!("{program}\n");
    assert_eq!(found.source.as_deref(), Some(program.as_str()));
}
