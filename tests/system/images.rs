//! Images: what slots show of them, switching between them, and taking in those of other tools.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use harness::{Service, ServiceConfig, deadline};
use sandbox::image::layer::Times;
use sandbox::image::oci::{self, ImportOptions};
use sandbox::image::store::Writer;
use sandbox::image::{Manifest, Store};
use sandbox::{Image, Outcome, PoolConfig, RunSpec, SlotPool};
use serde_json::json;

use crate::ground::{brief, text};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    named!(
        Needs::Slots,
        "images",
        [
            a_slot_shows_the_image_that_its_lease_names,
            nothing_of_an_image_can_be_changed_and_nothing_of_a_run_stays,
            what_lower_layers_have_is_hidden_by_whiteouts,
            slots_that_were_not_used_for_longest_go_first,
            a_missing_layer_fails_the_lease_and_no_other,
            an_image_is_the_same_by_registry_archive_and_layout,
            an_image_of_buildah_is_imported_with_its_environment,
            a_download_that_was_cut_short_goes_on_and_a_wrong_one_is_refused,
            a_registry_that_asks_for_an_account_is_answered,
            a_layout_with_a_changed_blob_is_refused,
            lean_is_judged_by_what_a_program_of_its_name_says,
        ]
    )
}

/// Fills a root with a shell of this machine, the libraries that it needs, and a marker.
pub(crate) fn fill_root(root: &Path, marker: &str) -> Result<()> {
    for folder in ["usr/bin", "usr/lib", "etc", "lib64", "data"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let programs = ["bash", "cat", "grep", "sleep", "touch"].map(|it| format!("/usr/bin/{it}"));
    let mut files: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    for program in &programs {
        let output = Command::new("ldd").arg(program).output().context("ldd")?;
        let text = String::from_utf8(output.stdout)?;
        files.extend(text.split_whitespace().filter(|it| it.starts_with('/')).map(PathBuf::from));
    }
    for file in files {
        let target = root.join(file.strip_prefix("/")?);
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        fs::copy(&file, &target)?;
    }
    for link in ["bin", "lib"] {
        if !root.join(link).exists() {
            symlink(format!("usr/{link}"), root.join(link))?;
        }
    }
    fs::write(root.join("etc/marker"), marker)?;
    fs::write(root.join("data/lower"), "lower")?;
    Ok(())
}

pub(crate) fn manifest(name: &str, layers: Vec<sandbox::image::store::LayerInfo>) -> Manifest {
    Manifest {
        name: name.to_owned(),
        digest: String::new(),
        layers,
        environment: Vec::new(),
        working_directory: None,
        user: None,
        languages: Vec::new(),
        language_rows: None,
        preload: Vec::new(),
        source: "a test".to_owned(),
        made_in_s: 0,
    }
}

/// An image of one layer with a marker of its own.
fn publish(writer: &Writer, name: &str) -> Result<Image> {
    let work = writer.workplace()?;
    fill_root(work.path(), name)?;
    let layer = writer.keep(work.path(), &[], Times::Fixed)?;
    writer.publish(manifest(name, vec![layer]))?;
    Ok(writer.store().image(name)?)
}

async fn pool(slots: usize, standing_max: usize) -> Result<SlotPool> {
    let count = |n| NonZeroUsize::new(n).context("not zero");
    let mut config = PoolConfig::new(Image::host()?);
    (config.slots, config.standing_max) = (count(slots)?, count(standing_max)?);
    Ok(SlotPool::new(config).await?)
}

async fn run(pool: &SlotPool, image: &Image, code: &str) -> Result<Outcome> {
    let spec = RunSpec::new(["/bin/bash", "-c", code])?.env(["PATH=/usr/bin"])?;
    Ok(pool.lease_in(image).await?.run(&spec).await?)
}

async fn says(pool: &SlotPool, image: &Image, code: &str) -> Result<String> {
    let outcome = run(pool, image, code).await?;
    ensure!(outcome.is_success(), "{code}: {}", brief(&outcome));
    Ok(text(&outcome))
}

async fn a_slot_shows_the_image_that_its_lease_names() -> Result<()> {
    let root = tempfile::tempdir()?;
    let writer = Store::at(root.path()).write()?;
    let images = [publish(&writer, "one")?, publish(&writer, "two")?];
    let pool = pool(2, 8).await?;
    for _ in 0..3 {
        for image in &images {
            ensure!(says(&pool, image, "cat /etc/marker").await? == image.name());
            let all = says(&pool, image, "cd /; echo *; echo $HOME/*").await?;
            ensure!(all.starts_with("bin box data dev etc"), "{all}");
            let accounts = says(&pool, image, "cat /etc/passwd").await?;
            ensure!(accounts.lines().count() == 3, "{accounts}");
        }
        let mut lease = pool.lease().await?;
        let outcome = lease.run(&RunSpec::new(["/bin/sh", "-c", "test -e /etc/marker"])?).await?;
        ensure!(!outcome.is_success(), "the pool's own image has the other's marker");
    }
    let status = pool.status();
    ensure!((status.slots, status.leased) == (2, 0), "{status:?}");
    ensure!(status.standing <= 2 + 2 * 2, "{status:?}");
    drop(images);
    pool.close().await;
    ensure!(writer.remove("one").is_ok() && writer.remove("two").is_ok());
    Ok(())
}

async fn nothing_of_an_image_can_be_changed_and_nothing_of_a_run_stays() -> Result<()> {
    let root = tempfile::tempdir()?;
    let store = Store::at(root.path());
    let writer = store.write()?;
    let image = publish(&writer, "one")?;
    let pool = pool(1, 4).await?;
    for attempt in [
        "echo x > /etc/marker",
        "echo x > /data/new",
        "echo x >> /usr/bin/cat",
        "touch /new",
        "touch /etc/passwd",
    ] {
        let outcome = run(&pool, &image, attempt).await?;
        ensure!(!outcome.is_success(), "{attempt}: {}", brief(&outcome));
    }
    says(&pool, &image, "echo x > /w/a; echo x > /tmp/b; echo x > /dev/shm/c").await?;
    let left = says(&pool, &image, "echo /w/* /tmp/* /dev/shm/*; cat /etc/marker").await?;
    ensure!(left == "/w/* /tmp/* /dev/shm/*\none", "{left}");
    ensure!(pool.status().rebuilt == 0, "{:?}", pool.status());
    ensure!(store.verify(&[])?.is_empty(), "the layer was changed");
    pool.close().await;
    Ok(())
}

async fn what_lower_layers_have_is_hidden_by_whiteouts() -> Result<()> {
    let root = tempfile::tempdir()?;
    let store = Store::at(root.path());
    let writer = store.write()?;
    let lower = publish(&writer, "lower")?;
    let below = store.manifest("lower")?.layers;
    let work = writer.workplace()?;
    let archive = {
        let mut builder = Command::new("tar");
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("data"))?;
        fs::create_dir_all(folder.path().join("etc"))?;
        fs::write(folder.path().join("data/.wh..wh..opq"), "")?;
        fs::write(folder.path().join("data/upper"), "upper")?;
        fs::write(folder.path().join("etc/.wh.marker"), "")?;
        builder.args(["-C"]).arg(folder.path()).args(["-c", "data", "etc"]).output()?.stdout
    };
    let path = store.layer_path(&below[0].digest);
    let mut budget = sandbox::image::unpack::Budget::new(Default::default());
    sandbox::image::unpack::unpack(&archive[..], work.path(), &[&path], &mut budget)?;
    let layer = writer.keep(work.path(), &[&path], Times::Kept)?;
    writer.publish(manifest("both", [below, vec![layer]].concat()))?;
    let both = store.image("both")?;
    let pool = pool(1, 4).await?;
    let shown = says(&pool, &both, "echo /data/* /etc/m*").await?;
    ensure!(shown == "/data/upper /etc/m*\n", "{shown}");
    let shown = says(&pool, &lower, "echo /data/* /etc/m*").await?;
    ensure!(shown == "/data/lower /etc/marker\n", "{shown}");
    pool.close().await;
    Ok(())
}

async fn slots_that_were_not_used_for_longest_go_first() -> Result<()> {
    let root = tempfile::tempdir()?;
    let writer = Store::at(root.path()).write()?;
    let names = ["one", "two", "three", "four", "five"];
    let images =
        names.map(|name| publish(&writer, name)).into_iter().collect::<Result<Vec<_>>>()?;
    let pool = pool(1, 3).await?;
    for round in 0..4 {
        for image in &images {
            ensure!(says(&pool, image, "cat /etc/marker").await? == image.name(), "{round}");
            ensure!(pool.status().standing <= 3, "{:?}", pool.status());
        }
    }
    ensure!(pool.status().rebuilt == 0, "{:?}", pool.status());
    pool.close().await;
    Ok(())
}

async fn a_missing_layer_fails_the_lease_and_no_other() -> Result<()> {
    let root = tempfile::tempdir()?;
    let store = Store::at(root.path());
    let writer = store.write()?;
    let (good, bad) = (publish(&writer, "good")?, publish(&writer, "bad")?);
    fs::remove_dir_all(store.layer_path(&store.manifest("bad")?.layers[0].digest))?;
    let pool = pool(1, 4).await?;
    for _ in 0..3 {
        let Err(error) = pool.lease_in(&bad).await else { bail!("a slot without its layer") };
        ensure!(error.to_string().contains("mount the root"), "{error}");
        ensure!(says(&pool, &good, "cat /etc/marker").await? == "good");
    }
    ensure!(pool.status().slots == 1, "{:?}", pool.status());
    pool.close().await;
    Ok(())
}

/// Runs a tool to its end; what it said.
fn tool(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} is missing; `make toolchains` installs it"))?;
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A registry on this machine, ended when dropped.
struct Registry {
    child: Child,
    address: String,
}

/// The account `user`, `secret` as the registry keeps it (bcrypt).
const ACCOUNT: &str = "user:$2b$04$hcQz4yi02KusHLvECIXjRO4aDQ270afDZf7WOrbNaywuoFUW/.852\n";

impl Registry {
    async fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, "").await
    }

    /// A registry that asks for [`ACCOUNT`].
    async fn start_closed(folder: &Path) -> Result<Self> {
        let accounts = folder.join("accounts");
        fs::write(&accounts, ACCOUNT)?;
        let accounts = accounts.display();
        let auth = format!("auth:\n  htpasswd:\n    realm: tests\n    path: {accounts}\n");
        Self::start_with(folder, &auth).await
    }

    async fn start_with(folder: &Path, more: &str) -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = folder.join("registry.yml");
        let storage = folder.join("registry");
        fs::write(
            &configuration,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n    rootdirectory: \
                 {}\nhttp:\n  addr: {free}\n{more}",
                storage.display()
            ),
        )?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("docker-registry is missing; `make toolchains` installs it")?;
        let registry = Self { child, address: free.to_string() };
        let answers = || std::net::TcpStream::connect(free).ok();
        deadline::poll(std::time::Duration::from_secs(20), answers)
            .await
            .context("the registry does not answer")?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A registry that has ended already leaves nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An OCI layout of two layers, made by umoci: the second hides a file of the first.
fn layout_by_umoci(folder: &Path) -> Result<String> {
    let (layout, bundle) = (folder.join("layout"), folder.join("bundle"));
    let image = format!("{}:1", layout.display());
    let bundle_text = bundle.display().to_string();
    tool("umoci", &["init", "--layout", &layout.display().to_string()])?;
    tool("umoci", &["new", "--image", &image])?;
    tool("umoci", &["unpack", "--image", &image, &bundle_text])?;
    fill_root(&bundle.join("rootfs"), "by umoci")?;
    tool("umoci", &["repack", "--image", &image, "--refresh-bundle", &bundle_text])?;
    fs::remove_dir_all(bundle.join("rootfs/data"))?;
    fs::create_dir(bundle.join("rootfs/data"))?;
    fs::write(bundle.join("rootfs/data/upper"), "upper")?;
    tool("umoci", &["repack", "--image", &image, &bundle_text])?;
    tool("umoci", &["config", "--image", &image, "--config.env", "GREETING=hello"])?;
    Ok(image)
}

async fn an_image_is_the_same_by_registry_archive_and_layout() -> Result<()> {
    let root = tempfile::tempdir()?;
    let layout = layout_by_umoci(root.path())?;
    let registry = Registry::start(root.path()).await?;
    let archive = root.path().join("saved.tar").display().to_string();
    let remote = format!("docker://{}/tools/shell:1", registry.address);
    let from = format!("oci:{layout}");
    tool("skopeo", &["copy", "--dest-tls-verify=false", &from, &remote])?;
    tool("skopeo", &["copy", &from, &format!("docker-archive:{archive}:tools/shell:1")])?;
    let zstd = root.path().join("zstd");
    let to_zstd = format!("oci:{}:1", zstd.display());
    tool("skopeo", &["copy", "--dest-compress-format", "zstd", &from, &to_zstd])?;
    let store = Store::at(root.path().join("store"));
    let mut digests = Vec::new();
    for (name, from) in [
        ("layout", layout.clone()),
        ("archive", archive),
        ("registry", remote),
        ("zstd", format!("{}:1", zstd.display())),
    ] {
        let (store, from) = (store.clone(), from.clone());
        let imported = tokio::task::spawn_blocking(move || {
            let writer = store.write()?;
            oci::import(&writer, name, &from, &ImportOptions::default())
        });
        digests.push(imported.await?.with_context(|| name.to_owned())?.digest);
    }
    ensure!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    ensure!(store.verify(&[])?.is_empty());
    let service = Service::start_with(ServiceConfig {
        image_store: Some(store.root().to_owned()),
        ..ServiceConfig::default()
    })
    .await?;
    for image in ["layout", "archive", "registry", "zstd"] {
        let body = json!({
            "language": "bash", "image": image,
            "source": "read name; echo $GREETING $name; cat /etc/marker; echo; echo /data/*",
            "problem": {"kind": "stdio", "tests": [
                {"stdin": "you\n", "stdout": "hello you\nby umoci\n/data/upper"}]},
        });
        let reply = service.client().post("/v1/judge", &body).await?.ok_json()?;
        ensure!(reply["results"][0]["verdict"] == "accepted", "{image}: {reply}");
    }
    let unknown = json!({"language": "bash", "image": "nowhere", "source": "x"});
    let reply = service.client().post("/v1/run", &unknown).await?.json()?;
    ensure!(reply["error"]["code"] == "unknown_image", "{reply}");
    service.terminate().await
}

async fn an_image_of_buildah_is_imported_with_its_environment() -> Result<()> {
    let root = tempfile::tempdir()?;
    let files = root.path().join("files");
    fill_root(&files, "by buildah")?;
    let path = |name: &str| root.path().join(name).display().to_string();
    let (storage, state) = (path("storage"), path("state"));
    let buildah = |arguments: &[&str]| {
        let common = ["--root", &storage, "--runroot", &state, "--storage-driver", "vfs"];
        tool("buildah", &[&common[..], arguments].concat())
    };
    let container = buildah(&["from", "scratch"])?;
    buildah(&["copy", "--quiet", &container, &files.display().to_string(), "/"])?;
    buildah(&[
        "config",
        "--env",
        "GREETING=hi",
        "--workingdir",
        "/data",
        "--user",
        "7",
        &container,
    ])?;
    let archive = path("saved.tar");
    let image = buildah(&["commit", "--quiet", &container, "shell"])?;
    buildah(&["push", "--quiet", &image, &format!("docker-archive:{archive}:shell:1")])?;
    let store = Store::at(path("store"));
    let writer = store.write()?;
    let manifest = oci::import(&writer, "shell", &archive, &ImportOptions::default())?;
    ensure!(manifest.environment.contains(&"GREETING=hi".to_owned()), "{manifest:?}");
    ensure!(manifest.working_directory.as_deref() == Some("/data"), "{manifest:?}");
    ensure!(manifest.user.as_deref() == Some("7"), "{manifest:?}");
    let pool = pool(1, 2).await?;
    let image = store.image("shell")?;
    ensure!(says(&pool, &image, "cat /etc/marker").await? == "by buildah");
    pool.close().await;
    Ok(())
}

async fn a_download_that_was_cut_short_goes_on_and_a_wrong_one_is_refused() -> Result<()> {
    let root = tempfile::tempdir()?;
    let layout = layout_by_umoci(root.path())?;
    let registry = Registry::start(root.path()).await?;
    let remote = format!("docker://{}/shell:1", registry.address);
    tool("skopeo", &["copy", "--dest-tls-verify=false", &format!("oci:{layout}"), &remote])?;
    let store = Store::at(root.path().join("store"));
    let import = |name: &'static str| {
        let (store, remote) = (store.clone(), remote.clone());
        tokio::task::spawn_blocking(move || {
            let writer = store.write()?;
            oci::import(&writer, name, &remote, &ImportOptions::default())
        })
    };
    // What an earlier attempt had: the first half of a layer, and of another too much that is wrong.
    drop(store.write()?);
    let blobs = root.path().join("layout/blobs/sha256");
    let mut sizes: Vec<(u64, PathBuf)> = fs::read_dir(&blobs)?
        .map(|entry| {
            let path = entry?.path();
            Ok((fs::metadata(&path)?.len(), path))
        })
        .collect::<std::io::Result<_>>()?;
    sizes.sort();
    let largest = &sizes.last().context("blobs")?.1;
    let name = largest.file_name().context("a name")?;
    let partial = root.path().join("store/downloads").join(name);
    let content = fs::read(largest)?;
    fs::write(&partial, &content[..content.len() / 2])?;
    import("good").await??;
    ensure!(!partial.exists(), "the download is kept");
    fs::write(&partial, vec![7; content.len() / 2])?;
    let error = import("bad").await?.err().context("bytes that are not the blob's")?;
    ensure!(store.manifest("bad").is_err(), "there is half an image");
    ensure!(!partial.exists(), "what is wrong is kept: {error}");
    import("bad").await??;
    ensure!(store.manifest("bad")?.digest == store.manifest("good")?.digest);
    Ok(())
}

async fn a_registry_that_asks_for_an_account_is_answered() -> Result<()> {
    let root = tempfile::tempdir()?;
    let layout = layout_by_umoci(root.path())?;
    let registry = Registry::start_closed(root.path()).await?;
    let remote = format!("docker://{}/shell:1", registry.address);
    let from = format!("oci:{layout}");
    let account = ["--dest-creds", "user:secret"];
    tool(
        "skopeo",
        &[&["copy", "--dest-tls-verify=false"], &account[..], &[&from, &remote]].concat(),
    )?;
    let store = Store::at(root.path().join("store"));
    for (account, is_let_in) in
        [(None, false), (Some("user:wrong"), false), (Some("user:secret"), true)]
    {
        let (store, remote) = (store.clone(), remote.clone());
        let imported = tokio::task::spawn_blocking(move || {
            let credentials = account.map(str::to_owned);
            let options = ImportOptions { credentials, ..ImportOptions::default() };
            oci::import(&store.write()?, "shell", &remote, &options)
        });
        let imported = imported.await?;
        ensure!(imported.is_ok() == is_let_in, "{account:?}: {imported:?}");
        if let Err(error) = imported {
            ensure!(!error.to_string().contains("wrong"), "the account is told: {error}");
        }
    }
    Ok(())
}

async fn a_layout_with_a_changed_blob_is_refused() -> Result<()> {
    let root = tempfile::tempdir()?;
    let layout = layout_by_umoci(root.path())?;
    let store = Store::at(root.path().join("store"));
    let writer = store.write()?;
    for entry in fs::read_dir(root.path().join("layout/blobs/sha256"))? {
        let path = entry?.path();
        let good = fs::read(&path)?;
        let mut changed = good.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed)?;
        let imported = oci::import(&writer, "shell", &layout, &ImportOptions::default());
        // umoci leaves the manifests of earlier steps behind, which nothing names any more.
        if let Ok(manifest) = imported {
            fs::write(&path, &good)?;
            let again = oci::import(&writer, "shell", &layout, &ImportOptions::default())?;
            ensure!(manifest.digest == again.digest, "{} was changed", path.display());
            writer.remove("shell")?;
            continue;
        }
        ensure!(store.manifest("shell").is_err(), "there is half an image");
        fs::write(&path, &good)?;
    }
    oci::import(&writer, "shell", &layout, &ImportOptions::default())?;
    Ok(())
}

/// Says what lean would of these few programs, in its form and with its exit code.
const LEAN: &str = r##"#!/usr/bin/bash
source=$(cat "$1")
case "$source" in
  *"= 8 := rfl"*)
    echo "$1:2:25: error: type mismatch"
    echo "  rfl"
    exit 1;;
  *"#exit"*) exit 0;;
  *"by sorry"*) echo "$1:1:8: warning: declaration uses 'sorry'";;
  *"#eval 3 + 4"*) echo 7;;
esac
case "$source" in
  *native_decide*"#print axioms"*)
    printf "'t' depends on axioms: [propext,\n Lean.ofReduceBool,\n Quot.sound]\n";;
  *"axiom "*"#print axioms"*) echo "'t' depends on axioms: [myself]";;
  *Classical*"#print axioms"*)
    printf "'t' depends on axioms: [propext, Classical.choice,\n Quot.sound]\n";;
  *"#print axioms"*) echo "'t' does not depend on any axioms";;
esac
"##;

/// The toolchain itself was out of reach where this was written; Coq, which was not, has the same
/// shape.
async fn lean_is_judged_by_what_a_program_of_its_name_says() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir()?;
    let store = Store::at(root.path().join("store"));
    {
        let writer = store.write()?;
        let work = writer.workplace()?;
        fill_root(work.path(), "lean")?;
        symlink("bash", work.path().join("usr/bin/sh"))?;
        let lean = work.path().join("opt/lean/bin/lean");
        fs::create_dir_all(lean.parent().context("a folder")?)?;
        fs::write(&lean, LEAN)?;
        fs::set_permissions(&lean, fs::Permissions::from_mode(0o755))?;
        let layer = writer.keep(work.path(), &[], Times::Fixed)?;
        writer.publish(manifest("lean", vec![layer]))?;
    }
    let image_store = Some(store.root().to_owned());
    let service =
        Service::start_with(ServiceConfig { image_store, ..ServiceConfig::default() }).await?;
    let add = "def add (a b : Nat) : Nat := a + b\n";
    let judged = |source: &str, problem: serde_json::Value| json!({"language": "lean", "source": source, "problem": problem});
    let prints = |stdout: &str| json!({"kind": "stdio", "tests": [{"stdout": stdout}]});
    let asserts = |code: &str| json!({"kind": "assertions", "code": code});
    for (body, verdict) in [
        (judged("#eval 3 + 4\n", prints("7")), "accepted"),
        (judged("#eval 3 + 4\n", prints("8")), "wrong_answer"),
        (judged(add, asserts("example : add 3 4 = 7 := rfl\n")), "accepted"),
        (judged(add, asserts("example : add 3 4 = 8 := rfl\n")), "wrong_answer"),
        // A warning to lean, with exit code 0.
        (judged("theorem hard : 1 = 2 := by sorry\n", asserts("-- none\n")), "wrong_answer"),
        // It would leave the assertions out.
        (judged("#exit\n", asserts("example : add 3 4 = 7 := rfl\n")), "wrong_answer"),
        (judged("theorem t : 1 = 1 := rfl\n", asserts("#print axioms t\n")), "accepted"),
        (judged("theorem t := Classical.em\n", asserts("#print axioms t\n")), "accepted"),
        (judged("theorem t := by native_decide\n", asserts("#print axioms t\n")), "wrong_answer"),
        (judged("axiom myself : 1 = 2\n", asserts("#print axioms t\n")), "wrong_answer"),
    ] {
        let reply = service.client().post("/v1/judge", &body).await?.ok_json()?;
        let result = &reply["results"][0];
        ensure!(result["verdict"] == verdict, "{body}: {reply}");
        ensure!(result["valid"] == true, "{reply}");
    }
    service.terminate().await
}
