//! `assay image`: builds, imports, lists, checks and removes images.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sandbox::image::oci::{self, ImportOptions};
use sandbox::image::recipe::Recipes;
use sandbox::image::{ImageError, Manifest, Store, build};
use serde_json::json;

use super::table::Table;
use super::{End, Failed, emit, ours, smoke, usage};

/// What `assay image` can do.
#[derive(Debug, Args)]
pub(super) struct ImageArgs {
    /// Where images are kept [default: /var/lib/assay, or ~/.local/share/assay without root]
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    #[command(subcommand)]
    action: ImageAction,
}

#[derive(Debug, Subcommand)]
enum ImageAction {
    /// Build images from their recipes, and first what they are built upon (as root)
    Build(BuildArgs),
    /// Take in an image of another tool
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// List the images
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Read every layer again and compare it with its digest
    Verify {
        /// Which images [default: all]
        names: Vec<String>,
    },
    /// Judge the programs of images' smoke tests, each right and wrong
    Test(TestArgs),
    /// Remove images, and the layers that no other has
    Rm {
        /// Which images
        #[arg(required = true)]
        names: Vec<String>,
    },
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  assay image import docker://registry.example:5000/tools:1 tools
  assay image import saved.tar tools                the archive of `docker save`
  assay image import layout:1 tools                 an OCI layout folder, and a tag in it
An account for a registry: ASSAY_REGISTRY_ACCOUNT=USER:PASSWORD in the environment.";

#[derive(Debug, Args)]
struct BuildArgs {
    /// Which images
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// All recipes but those that nobody has tested
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The folder of recipes
    #[arg(long, value_name = "DIR", default_value = "images")]
    recipes: PathBuf,
    /// Build again what is there already (what it is built upon is left as it is)
    #[arg(long)]
    again: bool,
    /// Fail where a build differs from its lock file
    #[arg(long, conflicts_with = "write_lock")]
    locked: bool,
    /// Write the lock file
    #[arg(long)]
    write_lock: bool,
}

#[derive(Debug, Args)]
struct TestArgs {
    /// One line for each language
    #[arg(long)]
    table: bool,
    /// Which images [default: all that are there and have a smoke test]
    names: Vec<String>,
    /// The folder of recipes
    #[arg(long, value_name = "DIR", default_value = "images")]
    recipes: PathBuf,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// A layout folder, an archive, or docker://HOST/NAME:TAG
    from: String,
    /// The name under which submissions ask for it
    name: String,
    /// Ask a registry that is not on this machine without encryption
    #[arg(long)]
    insecure: bool,
}

/// Does what the command line says; what waits for files, on a thread that may.
pub(super) async fn image(args: ImageArgs) -> Result<End, Failed> {
    let ImageArgs { store, action } = args;
    let store = store.map_or_else(Store::of_caller, Store::at);
    if let ImageAction::Test(args) = &action {
        return test(&store, args).await;
    }
    tokio::task::spawn_blocking(move || act(&store, action)).await.map_err(ours)?
}

async fn test(store: &Store, args: &TestArgs) -> Result<End, Failed> {
    let names = if args.names.is_empty() {
        let with_test = |name: &String| args.recipes.join(name).join("smoke.toml").is_file();
        store.list().map_err(failed)?.into_iter().map(|it| it.name).filter(with_test).collect()
    } else {
        args.names.clone()
    };
    let show = if args.table { smoke::Show::Languages } else { smoke::Show::Tests };
    smoke::test(store, &args.recipes, &names, show).await
}

fn act(store: &Store, action: ImageAction) -> Result<End, Failed> {
    match action {
        // Not on this thread: it judges.
        ImageAction::Test(_) => Ok(End::Good),
        ImageAction::Build(args) => build_all(store, &args),
        ImageAction::Import(args) => import(store, &args),
        ImageAction::List { json } => list(store, json),
        ImageAction::Verify { names } => verify(store, &names),
        ImageAction::Rm { names } => remove(store, &names),
    }
}

/// Whose fault an error is: what was asked for, or what we did.
fn failed(error: ImageError) -> Failed {
    match error {
        ImageError::Unknown { .. }
        | ImageError::Name { .. }
        | ImageError::Refused { .. }
        | ImageError::Digest { .. }
        | ImageError::InUse { .. } => usage(error),
        ImageError::Io { .. } | ImageError::Build { .. } => ours(error),
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn build_all(store: &Store, args: &BuildArgs) -> Result<End, Failed> {
    let recipes = Recipes::at(&args.recipes);
    let names = if args.all {
        let mut names = recipes.names().map_err(failed)?;
        let mut tested = Vec::new();
        for name in names.drain(..) {
            if recipes.recipe(&name).map_err(failed)?.untested.is_none() {
                tested.push(name);
            }
        }
        tested
    } else {
        args.names.clone()
    };
    let writer = store.write().map_err(failed)?;
    let mut drifted = false;
    for name in &names {
        for link in recipes.chain(name).map_err(failed)? {
            let is_there = store.manifest(&link).is_ok();
            if is_there && !(args.again && link == *name) {
                continue;
            }
            let bar = spinner(&link);
            let result =
                build::build(&writer, &recipes, &link, &|step| bar.set_message(step.to_owned()));
            bar.finish_and_clear();
            let (manifest, lock) = result.map_err(failed)?;
            emit(&built(&manifest))?;
            if args.write_lock {
                recipes.write_lock(&link, &lock).map_err(failed)?;
            } else if let Some(locked) = recipes.lock(&link).map_err(failed)? {
                for line in locked.drift(&lock) {
                    emit(&format!("  {line}\n"))?;
                    drifted = true;
                }
            }
        }
    }
    if drifted && args.locked {
        return Err(usage(anyhow!("what was built differs from its lock file")));
    }
    Ok(End::Good)
}

fn built(manifest: &Manifest) -> String {
    let (name, digest) = (&manifest.name, &manifest.digest);
    format!("{name}: {} in {} s, {digest}\n", mib(manifest.bytes()), manifest.made_in_s)
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn import(store: &Store, args: &ImportArgs) -> Result<End, Failed> {
    let options = ImportOptions {
        credentials: std::env::var("ASSAY_REGISTRY_ACCOUNT").ok(),
        insecure: args.insecure,
        ..ImportOptions::default()
    };
    let bar = spinner(&args.name);
    bar.set_message(format!("importing {}", args.from));
    let result =
        store.write().and_then(|writer| oci::import(&writer, &args.name, &args.from, &options));
    bar.finish_and_clear();
    emit(&built(&result.map_err(failed)?))?;
    Ok(End::Good)
}

fn list(store: &Store, json: bool) -> Result<End, Failed> {
    let manifests = store.list().map_err(failed)?;
    if json {
        let images: Vec<_> = manifests
            .iter()
            .map(|it| {
                json!({
                    "name": it.name, "digest": it.digest, "bytes": it.bytes(),
                    "layers": it.layers.len(), "languages": it.languages,
                    "source": it.source, "made_in_s": it.made_in_s,
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "images": images })).map_err(ours)?;
        emit(&(text + "\n"))?;
        return Ok(End::Good);
    }
    let mut table = Table::new(["image", "size", "own layer", "made in", "digest", "languages"]);
    table.push(["host", "-", "-", "-", "-", "those of the machine"].map(str::to_owned));
    for it in &manifests {
        table.push([
            it.name.clone(),
            mib(it.bytes()),
            mib(it.layers.last().map_or(0, |layer| layer.bytes)),
            format!("{} s", it.made_in_s),
            it.digest.chars().take("sha256:".len() + 12).collect(),
            it.languages.join(", "),
        ]);
    }
    emit(&table.to_string())?;
    Ok(End::Good)
}

fn verify(store: &Store, names: &[String]) -> Result<End, Failed> {
    let findings = store.verify(names).map_err(failed)?;
    for finding in &findings {
        emit(&format!("{}: {}\n", finding.what, finding.reason))?;
    }
    if findings.is_empty() {
        emit("every layer has its digest\n")?;
        return Ok(End::Good);
    }
    Ok(End::Failed)
}

fn remove(store: &Store, names: &[String]) -> Result<End, Failed> {
    let writer = store.write().map_err(failed)?;
    for name in names {
        let bytes = writer.remove(name).map_err(failed)?;
        emit(&format!("{name} is removed; {} are free\n", mib(bytes)))?;
    }
    Ok(End::Good)
}
