//! Builds an image from its recipe: one layer over the layers of its base, by the machine's own `apt`,
//! `pip` and `npm`, in a mount namespace that ends with the build.
//!
//! Recipes and the packages that they name are trusted, as the machine's own packages are: their
//! scripts run as root in the new root. Nothing that runs later in a slot has that. Downloads come from
//! where the machine's own tools are set up to look; Debian's packages from the first mirror that
//! `apt` knows. Two builds of the same packages give the same digest: times are fixed, and what names
//! the moment of a build is left out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use sha2::{Digest as _, Sha256};

use super::layer::{self, Times};
use super::recipe::{Lock, Recipe, Recipes};
use super::store::{LayerInfo, Manifest, Writer};
use super::{Image, ImageError};
use crate::kernel::mount;

/// The release of Debian that images are made of where a recipe names no other.
const SUITE: &str = "trixie";
/// Where Debian's packages come from where the machine knows no mirror.
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Seconds that one command of a build may take.
const COMMAND_SECONDS_MAX: &str = "3600";
/// The last words of a command that failed.
const LAST_WORDS_BYTES: usize = 2000;

/// What is of no use in a slot.
const LEFT_OUT: [&str; 6] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
];
/// What names the moment of the build, or serves only more building.
const REMOVED: [&str; 15] = [
    "usr/share/man",
    "var/cache",
    "var/log",
    "var/lib/apt",
    "var/lib/systemd",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "etc/machine-id",
    "etc/shadow",
    "etc/shadow-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/group-",
    "root",
];

/// Builds an image; `progress` hears what is being done.
///
/// # Errors
/// [`ImageError::Build`] with the last words of the command that failed.
pub fn build(
    writer: &Writer,
    recipes: &Recipes,
    name: &str,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(Manifest, Lock), ImageError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(ImageError::refused("assay image build", "needs root"));
    }
    let recipe = recipes.recipe(name)?;
    // Mounts are seen by this thread and what it starts, and end with it whatever happens.
    let built = std::thread::scope(|scope| {
        let build = || {
            unshare(CloneFlags::CLONE_NEWNS)
                .map_err(Into::into)
                .and_then(|()| mount::make_private())
                .map_err(ImageError::io("make a mount namespace"))?;
            Builder::new(writer, recipes, name, &recipe, progress)?.build()
        };
        scope.spawn(build).join()
    });
    built.map_err(|_| ImageError::refused(name, "the build panicked"))?
}

struct Builder<'a> {
    writer: &'a Writer,
    name: &'a str,
    recipe: &'a Recipe,
    folder: PathBuf,
    base: Option<Manifest>,
    /// Uppermost first.
    lower: Vec<PathBuf>,
    work: super::store::Workplace,
    progress: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Builder<'a> {
    fn new(
        writer: &'a Writer,
        recipes: &Recipes,
        name: &'a str,
        recipe: &'a Recipe,
        progress: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, ImageError> {
        let base = recipe.base.as_ref().map(|base| writer.store().manifest(base)).transpose()?;
        let layers = base.iter().flat_map(|base| base.layers.iter().rev());
        let lower = layers.map(|layer| writer.store().layer_path(&layer.digest)).collect();
        let work = writer.workplace()?;
        let folder = recipes.folder(name);
        Ok(Self { writer, name, recipe, folder, base, lower, work, progress })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn lower(&self) -> Vec<&Path> {
        self.lower.iter().map(PathBuf::as_path).collect()
    }

    fn build(&self) -> Result<(Manifest, Lock), ImageError> {
        let start = Instant::now();
        // Keeps the base from being removed while it is built upon.
        let _base: Option<Image> =
            self.base.as_ref().map(|base| self.writer.store().image(&base.name)).transpose()?;
        let mut lock = Lock::default();
        if let Some(base) = &self.base {
            lock.base.clone_from(&base.digest);
        }
        let layer = self.path("layer");
        if self.lower.is_empty() {
            self.bootstrap(&layer)?;
            lock.apt = self.debian_packages(&layer)?;
        } else {
            self.assemble(&layer, &mut lock)?;
        }
        (self.progress)("sealing");
        for path in REMOVED {
            let path = layer.join(path);
            remove(&path).map_err(ImageError::at("remove", &path))?;
        }
        let info = self.writer.keep(&layer, &self.lower(), Times::Fixed)?;
        lock.layer.clone_from(&info.digest);
        let mut manifest = describe(self.name, self.recipe, self.base.as_ref(), info);
        manifest.made_in_s = start.elapsed().as_secs();
        let manifest = self.writer.publish(manifest)?;
        Ok((manifest, lock))
    }

    fn suite(&self) -> &str {
        self.recipe.suite.as_deref().unwrap_or(SUITE)
    }

    /// The lowest layer: a Debian system of the packages that no other can do without.
    fn bootstrap(&self, layer: &Path) -> Result<(), ImageError> {
        (self.progress)("making a Debian system");
        need("mmdebstrap")?;
        let mut command = command("mmdebstrap");
        command.args(["--quiet", "--mode=root", "--variant=essential", "--format=directory"]);
        command.arg(format!("--keyring={KEYRING}"));
        command.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
        for line in acquire_options()? {
            command.arg(format!("--aptopt={line}"));
        }
        if !self.recipe.apt.is_empty() {
            command.arg(format!("--include={}", self.recipe.apt.join(",")));
        }
        command.args([self.suite()]).arg(layer);
        command.arg(format!("deb {} {} main", mirror()?, self.suite()));
        run(command)?;
        for step in &self.recipe.post {
            self.chroot(layer, step)?;
        }
        Ok(())
    }

    /// A layer over those of the base.
    fn assemble(&self, layer: &Path, lock: &mut Lock) -> Result<(), ImageError> {
        let (merged, overlay_work) = (self.path("merged"), self.path("work"));
        for folder in [layer, &merged, &overlay_work] {
            fs::create_dir(folder).map_err(ImageError::at("make", folder))?;
        }
        let failed = || ImageError::io("show the base's layers");
        // With set-user-id bits and devices: packages make some, sealing removes them.
        mount::overlay(&self.lower(), Some((layer, &overlay_work)), &merged).map_err(failed())?;
        let before = self.debian_packages(&merged)?;
        self.prepare(&merged).map_err(failed())?;
        if !self.recipe.apt.is_empty() {
            self.apt(&merged)?;
            let mut now = self.debian_packages(&merged)?;
            now.retain(|name, version| before.get(name) != Some(version));
            lock.apt = self.with_digests(now)?;
        }
        if !self.recipe.pip.is_empty() {
            lock.pip = self.pip(&merged)?;
        }
        if !self.recipe.npm.is_empty() {
            lock.npm = self.npm(&merged)?;
        }
        self.files(&merged)?;
        // What is compiled below remembers the times of what it was compiled from.
        layer::fix_times(layer)?;
        for step in &self.recipe.post {
            self.chroot(&merged, step)?;
        }
        for path in &self.recipe.remove {
            let path = merged.join(path);
            remove(&path).map_err(ImageError::at("remove", &path))?;
        }
        for place in ["proc", "dev", "var/cache/apt/archives"] {
            mount::detach(&merged.join(place)).map_err(ImageError::io("end the build's mounts"))?;
        }
        mount::detach(&merged).map_err(ImageError::io("end the build's mounts"))
    }

    /// Makes what packages' scripts look for, and shows the downloads of earlier builds.
    fn prepare(&self, merged: &Path) -> std::io::Result<()> {
        for place in
            ["proc", "dev", "tmp", "run", "root", "var/cache/apt/archives/partial", "var/log/apt"]
        {
            fs::create_dir_all(merged.join(place))?;
        }
        // Packages that offer one program in several versions link their manuals into these.
        for section in 1..=9 {
            fs::create_dir_all(merged.join(format!("usr/share/man/man{section}")))?;
        }
        fs::set_permissions(merged.join("tmp"), PermissionsExt::from_mode(0o1777))?;
        let devices = merged.join("dev");
        mount::memory(&devices, 1 << 20, 256, MsFlags::empty())?;
        mount::device_nodes(&devices)?;
        for (name, target) in
            [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
        {
            symlink(target, devices.join(name))?;
        }
        mount::process_files(&merged.join("proc"))?;
        let archives = self.writer.store().downloads().join("apt");
        fs::create_dir_all(archives.join("partial"))?;
        mount::bind_folder(&archives, &merged.join("var/cache/apt/archives"), MsFlags::empty())
    }

    /// Installs Debian packages by the machine's `apt`; the image has none.
    fn apt(&self, merged: &Path) -> Result<(), ImageError> {
        (self.progress)(&format!("installing {}", self.recipe.apt.join(" ")));
        let lists = self.writer.store().downloads().join(format!("lists-{}", self.suite()));
        let (state, sources) = (self.path("apt-state"), self.path("sources.list"));
        for folder in [lists.join("partial"), state.clone()] {
            fs::create_dir_all(&folder).map_err(ImageError::at("make", &folder))?;
        }
        let source = format!("deb {} {} main\n", mirror()?, self.suite());
        fs::write(&sources, source).map_err(ImageError::at("write", &sources))?;
        let mut lines: Vec<String> = [
            ("Dir", merged),
            ("Dir::State", &state),
            ("Dir::State::lists", &lists),
            ("Dir::State::status", &merged.join("var/lib/dpkg/status")),
            ("Dir::Etc::sourcelist", &sources),
            ("Dir::Etc::sourceparts", Path::new("-")),
            ("Dir::Etc::main", Path::new("-")),
            ("Dir::Etc::parts", Path::new("-")),
            ("Dir::Etc::preferencesparts", Path::new("-")),
            ("Dir::Etc::trusted", Path::new(KEYRING)),
            ("Dir::Etc::trustedparts", Path::new("-")),
            ("Dir::Bin::methods", Path::new("/usr/lib/apt/methods")),
            ("Dir::Bin::dpkg", Path::new("/usr/bin/dpkg")),
            ("DPkg::Chroot-Directory", merged),
        ]
        .map(|(key, path)| format!("{key} \"{}\";", path.display()))
        .into();
        lines.extend(
            [
                "APT::Install-Recommends \"false\";",
                "APT::Get::Assume-Yes \"true\";",
                "APT::Sandbox::User \"root\";",
                "Acquire::Languages \"none\";",
                // A mirror may stand still. What it has is signed all the same, and the lock file
                // says what it was.
                "Acquire::Check-Valid-Until \"false\";",
                "DPkg::Use-Pty \"false\";",
                "DPkg::Options:: \"--force-unsafe-io\";",
                "DPkg::Options:: \"--force-confnew\";",
            ]
            .map(str::to_owned),
        );
        lines.extend(LEFT_OUT.map(|path| format!("DPkg::Options:: \"--path-exclude={path}\";")));
        lines.extend(acquire_options()?.into_iter().map(|line| line + ";"));
        let configuration = self.path("apt.conf");
        fs::write(&configuration, lines.join("\n"))
            .map_err(ImageError::at("write", &configuration))?;
        for arguments in [
            vec!["update"],
            ["install"].into_iter().chain(self.recipe.apt.iter().map(String::as_str)).collect(),
        ] {
            let mut command = command("apt-get");
            command.env("APT_CONFIG", &configuration).arg("-q").args(arguments);
            run(command)?;
        }
        Ok(())
    }

    /// Debian packages of a root: name to version.
    fn debian_packages(&self, root: &Path) -> Result<BTreeMap<String, String>, ImageError> {
        let mut command = command("dpkg-query");
        command.arg("--admindir").arg(root.join("var/lib/dpkg"));
        command.args(["--show", "--showformat=${Package}_${Architecture} ${Version}\\n"]);
        let text = run(command)?;
        let pair = |line: &str| {
            line.split_once(' ').map(|(name, version)| (name.to_owned(), version.to_owned()))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    fn with_digests(
        &self,
        packages: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ImageError> {
        let folder = self.writer.store().downloads().join("apt");
        let mut locked = BTreeMap::new();
        for (name, version) in packages {
            let (package, architecture) = name.split_once('_').unwrap_or((&name, "all"));
            let file = format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a"));
            let path = folder.join(file);
            let digest = digest_of_archive(&path).map_err(ImageError::at("read", &path))?;
            locked.insert(package.to_owned(), format!("{version} sha256:{digest}"));
        }
        Ok(locked)
    }

    /// Installs Python packages by the machine's `pip`, for the image's Python.
    fn pip(&self, merged: &Path) -> Result<BTreeMap<String, String>, ImageError> {
        (self.progress)(&format!("installing {}", self.recipe.pip.join(" ")));
        let version = python_version(merged)?;
        let target = format!("usr/local/lib/python{version}/dist-packages");
        let target = merged.join(target);
        fs::create_dir_all(&target).map_err(ImageError::at("make", &target))?;
        let mut command = command("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command.args([
            "--no-compile",
            "--only-binary=:all:",
            "--upgrade",
            "--python-version",
            &version,
        ]);
        for platform in ["manylinux_2_28", "manylinux_2_17", "manylinux2014"] {
            command.args(["--platform", &format!("{platform}_{}", std::env::consts::ARCH)]);
        }
        // Packages may rely on packages of other recipes below; they are taken again, once for each.
        command.arg("--target").arg(&target).args(&self.recipe.pip);
        run(command)?;
        let mut packages = BTreeMap::new();
        for entry in fs::read_dir(&target).map_err(ImageError::at("list", &target))? {
            let entry = entry.map_err(ImageError::at("list", &target))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((name, version)) =
                name.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-'))
            {
                packages.insert(name.to_owned(), version.to_owned());
                // Says from where; that differs between machines.
                let direct = entry.path().join("direct_url.json");
                remove(&direct).map_err(ImageError::at("remove", &direct))?;
            }
        }
        // Programs of packages begin with the path of the Python that installed them.
        let programs = target.join("bin");
        remove(&programs).map_err(ImageError::at("remove", &programs))?;
        Ok(packages)
    }

    /// Installs npm packages below `/usr/local/lib`.
    fn npm(&self, merged: &Path) -> Result<BTreeMap<String, String>, ImageError> {
        (self.progress)(&format!("installing {}", self.recipe.npm.join(" ")));
        need("npm")?;
        let target = merged.join("usr/local/lib");
        fs::create_dir_all(&target).map_err(ImageError::at("make", &target))?;
        let mut command = command("npm");
        command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev"]);
        command.args(["--no-save", "--loglevel=error", "--prefix"]).arg(&target);
        run({
            command.args(&self.recipe.npm);
            command
        })?;
        let installed = target.join("node_modules/.package-lock.json");
        let text = fs::read(&installed).map_err(ImageError::at("read", &installed))?;
        let document: serde_json::Value = super::oci::json("npm's lock file", &text)?;
        let mut packages = BTreeMap::new();
        for (path, package) in document["packages"].as_object().into_iter().flatten() {
            let name = path.rsplit("node_modules/").next().unwrap_or(path);
            let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
            packages
                .insert(name.to_owned(), format!("{} {}", field("version"), field("integrity")));
        }
        // Says from where; that differs between machines.
        remove(&installed).map_err(ImageError::at("remove", &installed))?;
        Ok(packages)
    }

    fn files(&self, merged: &Path) -> Result<(), ImageError> {
        let place = |path: &str, content: &[u8]| {
            let path = layer::resolve(&[merged], &Path::new("/").join(path))
                .ok_or_else(|| ImageError::refused(path, "leads through too many links"))?;
            let path = merged.join(path.strip_prefix("/").unwrap_or(&path));
            let folder = path.parent().unwrap_or(merged);
            fs::create_dir_all(folder).map_err(ImageError::at("make", folder))?;
            fs::write(&path, content).map_err(ImageError::at("write", &path))?;
            let mode = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, PermissionsExt::from_mode(mode))
                .map_err(ImageError::at("write", &path))
        };
        for (path, content) in &self.recipe.files {
            place(path, content.as_bytes())?;
        }
        for (path, source) in &self.recipe.copies {
            let source = self.folder.join(source);
            let content = fs::read(&source).map_err(ImageError::at("read", &source))?;
            place(path, &content)?;
        }
        Ok(())
    }

    fn chroot(&self, root: &Path, step: &str) -> Result<(), ImageError> {
        (self.progress)(&format!("running {}", step.lines().next().unwrap_or_default()));
        let mut command = if self.recipe.network {
            command("chroot")
        } else {
            let mut command = command("unshare");
            command.args(["--net", "chroot"]);
            command
        };
        command.arg(root).args(["/bin/sh", "-euc", step]);
        command.env_clear();
        let base = self.base.iter().flat_map(|base| &base.environment);
        for entry in base.chain(&self.recipe.environment) {
            if let Some((name, value)) = entry.split_once('=') {
                command.env(name, value);
            }
        }
        if !self.recipe.environment.iter().any(|entry| entry.starts_with("PATH=")) {
            command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        }
        command.envs([("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("SOURCE_DATE_EPOCH", "946684800")]);
        run(command).map(drop)
    }
}

/// An image of a recipe: one layer above its base. Its digest comes with publishing.
fn describe(name: &str, recipe: &Recipe, base: Option<&Manifest>, layer: LayerInfo) -> Manifest {
    let below = base.map(|base| base.layers.clone()).unwrap_or_default();
    let mut environment = base.map(|base| base.environment.clone()).unwrap_or_default();
    let name_of = |entry: &str| entry.split('=').next().map(str::to_owned);
    environment.retain(|old| !recipe.environment.iter().any(|new| name_of(new) == name_of(old)));
    environment.extend(recipe.environment.clone());
    let rows: Vec<String> = base
        .and_then(|base| base.language_rows.clone())
        .into_iter()
        .chain(recipe.language_rows.clone())
        .collect();
    Manifest {
        name: name.to_owned(),
        digest: String::new(),
        layers: below.into_iter().chain([layer]).collect(),
        environment,
        working_directory: None,
        user: None,
        languages: recipe.languages.clone(),
        language_rows: (!rows.is_empty()).then(|| rows.join("\n")),
        preload: base
            .into_iter()
            .flat_map(|base| &base.preload)
            .chain(&recipe.preload)
            .cloned()
            .collect(),
        source: format!("recipe {name}"),
        made_in_s: 0,
    }
}

/// The version of the image's Python, as in `python3.13`.
fn python_version(merged: &Path) -> Result<String, ImageError> {
    let python = layer::find(&[merged], Path::new("/usr/bin/python3"));
    let version = python.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let version = version.and_then(|name| name.strip_prefix("python")).map(str::to_owned);
    version.ok_or_else(|| ImageError::refused("pip", "the image has no /usr/bin/python3"))
}

fn digest_of_archive(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(layer::hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Whether the machine has a program that builds need.
fn need(program: &str) -> Result<(), ImageError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    let reason = format!("needs {program}: apt-get install {program}");
    Err(ImageError::refused("assay image build", reason))
}

/// Where the machine's own `apt` gets Debian's packages.
fn mirror() -> Result<String, ImageError> {
    let mut command = command("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)"]);
    command.arg("Created-By: Packages");
    let text = run(command)?;
    let found = text.lines().find_map(|line| line.strip_prefix("Debian main "));
    Ok(found.map_or(MIRROR, |uri| uri.trim_end_matches('/')).to_owned())
}

/// How the machine's own `apt` reaches its mirrors.
fn acquire_options() -> Result<Vec<String>, ImageError> {
    let mut command = command("apt-config");
    command.args(["dump", "--no-empty", "--format", "%F \"%v\"%n", "Acquire"]);
    let text = run(command)?;
    let wanted = |line: &&str| {
        ["Acquire::http", "Acquire::https", "Acquire::Retries"]
            .iter()
            .any(|prefix| line.starts_with(prefix))
    };
    Ok(text.lines().filter(wanted).map(str::to_owned).collect())
}

/// A command that cannot take for ever, and ends with the build: whoever ends that with Ctrl-C or a kill leaves
/// nothing running. `timeout` passes on what `setpriv` has the kernel tell it (`prctl(2)`,
/// `PR_SET_PDEATHSIG`, when the thread that builds is gone).
fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    command.args(["timeout", "--kill-after=10", COMMAND_SECONDS_MAX, program]);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    command.env("SOURCE_DATE_EPOCH", "946684800");
    command
}

/// Runs a command to its end; what it wrote to standard output.
fn run(mut command: Command) -> Result<String, ImageError> {
    let text = format!("{command:?}").chars().take(300).collect::<String>();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(ImageError::io(format!("start {text}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = [output.stdout, output.stderr].concat();
    let words = &words[words.len().saturating_sub(LAST_WORDS_BYTES)..];
    let reason = format!("{}\n{}", output.status, String::from_utf8_lossy(words).trim());
    Err(ImageError::Build { command: text, reason })
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of the image that the lock files of a recipe and of what is below it describe.
    fn locked(recipes: &Recipes, name: &str) -> Manifest {
        let recipe = recipes.recipe(name).unwrap();
        let lock = recipes.lock(name).unwrap().unwrap_or_else(|| panic!("{name} has no lock file"));
        let base = recipe.base.as_deref().map(|base| locked(recipes, base));
        let found = base.as_ref().map(|base| base.digest.as_str()).unwrap_or_default();
        assert_eq!(
            lock.base, found,
            "images/{name}/lock.toml names a base that no lock file describes: `assay image build \
             {name} --again --write-lock`"
        );
        let layer = LayerInfo { digest: lock.layer, bytes: 0, entries: 0 };
        let mut manifest = describe(name, &recipe, base.as_ref(), layer);
        manifest.digest = manifest.digest_of();
        manifest
    }

    #[test]
    fn each_lock_file_names_the_image_that_its_bases_lock_file_describes() {
        let recipes = Recipes::at(concat!(env!("CARGO_MANIFEST_DIR"), "/../images"));
        let mut seen = 0;
        for name in recipes.names().unwrap() {
            if recipes.recipe(&name).unwrap().untested.is_none() {
                locked(&recipes, &name);
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen} recipes");
    }
}
