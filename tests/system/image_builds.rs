//! Images that are built from recipes: those that are quick, for real, and builds that do not come to their end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deadline;
use harness::service::executable_beside_us;
use libtest_mimic::Trial;
use sandbox::image::Store;
use sandbox::image::layer::Times;

use crate::images::{fill_root, manifest};
use crate::{Needs, named};

/// Two builds of two images, from Debian's packages.
const TIME_MAX: Duration = Duration::from_secs(900);
/// What a build starts, but for what every Debian system has.
const BUILDER: &str = "mmdebstrap";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials =
        named!(Needs::Slots, "image_builds", [a_build_that_is_killed_takes_its_commands_with_it]);
    trials.push(crate::trial_within(
        TIME_MAX,
        "image_builds::two_builds_of_a_recipe_are_alike_and_what_they_hold_works".to_owned(),
        Needs::Builder,
        || Box::pin(two_builds_of_a_recipe_are_alike_and_what_they_hold_works()),
    ));
    trials
}

/// What images cannot be built without; `None` where it is there.
pub(crate) fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(BUILDER).is_file());
    (!is_there).then(|| format!("no {BUILDER}, which `make toolchains` installs"))
}

/// Runs `assay image` with the recipes that are shipped; what it printed.
fn assay_image(store: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(executable_beside_us("assay")?)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["image", arguments[0], "--store"])
        .arg(store)
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The smallest of the shipped recipes that has one below it.
async fn two_builds_of_a_recipe_are_alike_and_what_they_hold_works() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut digests = Vec::new();
    for name in ["one", "other"] {
        let store = folder.path().join(name);
        assay_image(&store, &["build", "python"])?;
        let images = ["base", "python"].map(|image| Store::at(&store).manifest(image));
        for image in images {
            digests.push(image?.digest);
        }
    }
    ensure!(digests[..2] == digests[2..], "{digests:?}");
    let store = folder.path().join("one");
    assay_image(&store, &["verify"])?;
    let table = assay_image(&store, &["test", "--table"])?;
    // Two languages, each with a right and a wrong program.
    let judged = table.lines().filter(|line| line.contains("accepted")).count();
    ensure!(judged == 2, "{table}");
    assay_image(&store, &["rm", "python", "base"])?;
    let left = fs::read_dir(store.join("layers"))?.count();
    ensure!(left == 0, "{left} layers are left:\n{}", assay_image(&store, &["list"])?);
    Ok(())
}

/// Processes of this machine whose arguments name `word`.
fn processes_that_name(word: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let command = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(word) {
            found.push(command);
        }
    }
    Ok(found)
}

/// Killed in the middle of a step, by a signal that nobody can catch: the step ends too, nothing is half
/// there, and the next build finds the way free.
async fn a_build_that_is_killed_takes_its_commands_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stored, recipes) = (folder.path().join("store"), folder.path().join("recipes"));
    let writer = Store::at(&stored).write()?;
    let work = writer.workplace()?;
    fill_root(work.path(), "lower")?;
    symlink("bash", work.path().join("usr/bin/sh"))?;
    fs::create_dir_all(work.path().join("var/lib/dpkg"))?;
    fs::write(work.path().join("var/lib/dpkg/status"), "")?;
    let layer = writer.keep(work.path(), &[], Times::Fixed)?;
    writer.publish(manifest("lower", vec![layer]))?;
    drop((work, writer));

    let word = format!("step_{}", std::process::id());
    let recipe = |step: &str| {
        format!(
            "about = \"a test\"\nbase = \"lower\"\npreload = [\"fractions\"]\npost = [{step:?}]\n"
        )
    };
    for name in ["lower", "upper"] {
        fs::create_dir_all(recipes.join(name))?;
    }
    fs::write(recipes.join("lower/recipe.toml"), "about = \"there already\"\n")?;
    let write = |step: &str| fs::write(recipes.join("upper/recipe.toml"), recipe(step));
    write(&format!("touch /data/half; : {word}; sleep 1000; :"))?;
    let build = || {
        let mut command = Command::new(executable_beside_us("assay")?);
        command.args(["image", "build", "upper", "--store"]).arg(&stored);
        command.arg("--recipes").arg(&recipes).stdout(Stdio::null()).stderr(Stdio::piped());
        anyhow::Ok(command.spawn()?)
    };
    let patience = Duration::from_secs(30);
    let running = || processes_that_name(&word).unwrap_or_default();
    // What starts the step has the same words, and is told of the end a moment later.
    let is_step = |command: &String| command.starts_with("/bin/sh -euc");
    let mut child = build()?;
    let begun = deadline::poll(patience, || running().iter().any(is_step).then_some(())).await;
    child.kill()?;
    let output = child.wait_with_output()?;
    begun.with_context(|| format!("no step ran: {}", String::from_utf8_lossy(&output.stderr)))?;
    let gone = deadline::poll(patience, || running().is_empty().then_some(())).await;
    gone.with_context(|| format!("still there: {:?}", running()))?;
    ensure!(Store::at(&stored).manifest("upper").is_err(), "a half image is there");

    write("touch /data/whole")?;
    let output = build()?.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ensure!(Store::at(&stored).image("upper")?.preload() == ["fractions"], "not preloaded");
    let left = fs::read_dir(stored.join("temporary"))?.count();
    ensure!(left == 0, "{left} left in the folder of what is being made");
    Ok(())
}
