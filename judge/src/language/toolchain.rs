//! Where an image has the programs of a toolchain.

use std::collections::BTreeMap;

use super::Programs;

/// The path of each program; the reason where one is nowhere.
pub(super) fn locate(
    programs: &Programs,
    has: &impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, String> {
    let locate_one = |(name, candidates): (&String, &Vec<String>)| match candidates
        .iter()
        .find(|path| has(path))
    {
        Some(path) => Ok((name.clone(), path.clone())),
        None => Err(format!("the image has no {}", candidates.join(" or "))),
    };
    programs.iter().map(locate_one).collect()
}

/// Argv with the paths of programs in place of their names.
pub(super) fn fill(argv: &[String], paths: &BTreeMap<String, String>) -> Vec<String> {
    let fill_one = |argument: &String| {
        paths
            .iter()
            .fold(argument.clone(), |text, (name, path)| text.replace(&format!("{{{name}}}"), path))
    };
    argv.iter().map(fill_one).collect()
}
