//! Layers and manifests on disk.
//!
//! ```text
//! layers/HEX           a sealed layer, named by its digest
//! images/NAME.json     a manifest: which layers, what environment, whence
//! downloads/HEX        blobs of registries, whole or not, named by their digest
//! temporary/RANDOM     what is being made
//! lock                 held by whoever makes or removes something
//! ```
//!
//! **Nothing is there by half.** A layer is made under `temporary`, written to the disk, and then
//! renamed; its manifest comes after all layers, by a rename too. What an interrupted writer left
//! under `temporary` is removed by the next. **Nothing in use is removed**: whoever runs programs in an
//! image holds a shared lock on each of its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::layer::{self, Size, Times};
use super::{HOST, Image, ImageError};
use crate::limits::{LAYERS_MAX, MANIFEST_BYTES_MAX};

/// One layer of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerInfo {
    /// `sha256:` and the digest of the sealed layer.
    pub digest: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// What it has: files, folders, links, whiteouts.
    pub entries: u64,
}

/// An image, as the store writes it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name under which users ask for it.
    pub name: String,
    /// Of its layers, environment, folder and user together.
    pub digest: String,
    /// Lowest first.
    pub layers: Vec<LayerInfo>,
    /// `NAME=value` entries that its programs need.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Where its author meant programs to start; told, not obeyed: a run starts in its own folder.
    #[serde(default)]
    pub working_directory: Option<String>,
    /// As whom its author meant programs to run; told, not obeyed.
    #[serde(default)]
    pub user: Option<String>,
    /// Names of the languages that it is meant for.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Rows of a table of languages that the image brings along, in TOML; read by others.
    #[serde(default)]
    pub language_rows: Option<String>,
    /// Python modules that warm interpreters have loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preload: Vec<String>,
    /// Which recipe, or what else, it was made from.
    pub source: String,
    /// Seconds that making it took.
    #[serde(default)]
    pub made_in_s: u64,
}

impl Manifest {
    /// Bytes of all layers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }

    /// The digest of what programs see. The name, the source and the time are not part of it.
    pub(super) fn digest_of(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        self.layers.iter().for_each(|layer| add(&layer.digest));
        self.environment.iter().for_each(|entry| add(entry));
        for field in [&self.working_directory, &self.user, &self.language_rows] {
            add(field.as_deref().unwrap_or_default());
        }
        self.preload.iter().for_each(|module| add(module));
        format!("sha256:{}", layer::hex(&hasher.finalize()))
    }
}

/// Where images are kept. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// The right to make and remove things in a store, until dropped.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    _lock: Flock<File>,
}

/// A folder of a store under which something is being made; removed when dropped.
#[derive(Debug)]
pub struct Workplace {
    path: PathBuf,
}

impl Workplace {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What stays is removed by the next writer.
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a workplace was left behind");
        }
    }
}

/// What [`Store::verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which layer or image.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Store {
    /// The store at `root`, which need not exist yet.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the caller's images are where nothing else is said: `/var/lib/assay` for root, else
    /// `$XDG_DATA_HOME/assay` or `~/.local/share/assay`.
    #[must_use]
    pub fn of_caller() -> Self {
        let variable = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let own = || {
            variable("XDG_DATA_HOME")
                .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        };
        match own() {
            Some(data) if !nix::unistd::geteuid().is_root() => Self::at(data.join("assay")),
            Some(_) | None => Self::at("/var/lib/assay"),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the layer with this digest is, or would be.
    #[must_use]
    pub fn layer_path(&self, digest: &str) -> PathBuf {
        self.root.join("layers").join(digest.strip_prefix("sha256:").unwrap_or(digest))
    }

    /// Where a blob of a registry is kept between attempts.
    pub(super) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.root.join("images").join(format!("{name}.json"))
    }

    /// The manifests of all images, by name.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn list(&self) -> Result<Vec<Manifest>, ImageError> {
        let folder = self.root.join("images");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ImageError::at("list", &folder)(error)),
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(ImageError::at("list", &folder))?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                names.insert(name.to_owned());
            }
        }
        names.iter().map(|name| self.manifest(name)).collect()
    }

    /// The manifest of an image.
    ///
    /// # Errors
    /// [`ImageError::Unknown`], or it cannot be read.
    pub fn manifest(&self, name: &str) -> Result<Manifest, ImageError> {
        check_name(name)?;
        let path = self.manifest_path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ImageError::Unknown { name: name.to_owned() });
            }
            Err(error) => return Err(ImageError::at("open", &path)(error)),
        };
        let mut text = Vec::new();
        file.take(MANIFEST_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(ImageError::at("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| ImageError::refused(path.display().to_string(), error.to_string()))?;
        if manifest.name != name || manifest.layers.len() > LAYERS_MAX {
            let reason = "names another image, or too many layers";
            return Err(ImageError::refused(path.display().to_string(), reason));
        }
        Ok(manifest)
    }

    /// An image to run programs in. Its layers stay for as long as it lives.
    ///
    /// # Errors
    /// [`ImageError::Unknown`], a layer is missing, or the image is being removed.
    pub fn image(&self, name: &str) -> Result<Image, ImageError> {
        let manifest = self.manifest(name)?;
        let mut layers = Vec::new();
        let mut holds = Vec::new();
        for layer in manifest.layers.iter().rev() {
            let path = self.layer_path(&layer.digest);
            let folder = File::open(&path).map_err(ImageError::at("open", &path))?;
            let hold = Flock::lock(folder, FlockArg::LockSharedNonblock)
                .map_err(|(_, errno)| ImageError::at("hold", &path)(errno.into()))?;
            layers.push(path);
            holds.push(hold);
        }
        // It may have gone between the two.
        let manifest = self.manifest(&manifest.name)?;
        Ok(Image::of_layers(&manifest, layers, holds))
    }

    /// Waits for the right to make and remove things, and removes what a writer that died left.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn write(&self) -> Result<Writer, ImageError> {
        for folder in ["layers", "images", "downloads", "temporary"] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(ImageError::at("make", &path))?;
        }
        let path = self.root.join("lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(ImageError::at("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| ImageError::at("lock", &path)(errno.into()))?;
        let temporary = self.root.join("temporary");
        fs::remove_dir_all(&temporary)
            .and_then(|()| fs::create_dir(&temporary))
            .map_err(ImageError::at("empty", &temporary))?;
        Ok(Writer { store: self.clone(), _lock: lock })
    }

    /// Reads every layer again and compares it with its digest.
    ///
    /// # Errors
    /// The store cannot be read at all.
    pub fn verify(&self, names: &[String]) -> Result<Vec<Finding>, ImageError> {
        let manifests = if names.is_empty() {
            self.list()?
        } else {
            names.iter().map(|name| self.manifest(name)).collect::<Result<_, _>>()?
        };
        let mut findings = Vec::new();
        let mut seen: BTreeMap<String, Option<Size>> = BTreeMap::new();
        for manifest in &manifests {
            if manifest.digest != manifest.digest_of() {
                let reason = "the manifest is not the one that was written".to_owned();
                findings.push(Finding { what: manifest.name.clone(), reason });
            }
            for info in &manifest.layers {
                if seen.contains_key(&info.digest) {
                    continue;
                }
                let found = layer::digest(&self.layer_path(&info.digest));
                let reason = match &found {
                    Ok((digest, _)) if *digest == info.digest => None,
                    Ok((digest, _)) => Some(format!("has the digest {digest}")),
                    Err(error) => Some(error.to_string()),
                };
                seen.insert(info.digest.clone(), found.ok().map(|(_, size)| size));
                let what = format!("layer {} of {}", info.digest, manifest.name);
                findings.extend(reason.map(|reason| Finding { what, reason }));
            }
        }
        Ok(findings)
    }
}

/// Whether an image can have this name.
fn check_name(name: &str) -> Result<(), ImageError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
        && name != HOST;
    if good { Ok(()) } else { Err(ImageError::Name { name: name.chars().take(80).collect() }) }
}

impl Writer {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// An empty folder to make something in, on the store's file system.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn workplace(&self) -> Result<Workplace, ImageError> {
        let folder = self.store.root.join("temporary");
        let made = tempfile::Builder::new().prefix("").tempdir_in(&folder);
        let path = made.map_err(ImageError::at("make a folder in", &folder))?.keep();
        Ok(Workplace { path })
    }

    /// Seals the layer made in `workplace`, which lies above `lower` (uppermost first), and keeps it.
    ///
    /// # Errors
    /// It cannot be read, sealed, written or moved.
    pub fn keep(
        &self,
        workplace: &Path,
        lower: &[&Path],
        times: Times,
    ) -> Result<LayerInfo, ImageError> {
        layer::seal(workplace, lower, times)?;
        let (digest, size) = layer::digest(workplace)?;
        let target = self.store.layer_path(&digest);
        if !target.exists() {
            // All of it is on the disk before its name is.
            let folder = File::open(workplace).map_err(ImageError::at("open", workplace))?;
            nix::unistd::syncfs(&folder)
                .map_err(|errno| ImageError::at("write out", workplace)(errno.into()))?;
            fs::rename(workplace, &target).map_err(ImageError::at("move to", &target))?;
            sync(&self.store.root.join("layers"))?;
        }
        Ok(LayerInfo { digest, bytes: size.bytes, entries: size.entries })
    }

    /// Writes down an image all of whose layers are kept; one of the same name is replaced.
    ///
    /// # Errors
    /// Its name is none, it has too many layers, or it cannot be written.
    pub fn publish(&self, mut manifest: Manifest) -> Result<Manifest, ImageError> {
        check_name(&manifest.name)?;
        if manifest.layers.is_empty() || manifest.layers.len() > LAYERS_MAX {
            let reason =
                format!("has {} layers, allowed are 1 to {LAYERS_MAX}", manifest.layers.len());
            return Err(ImageError::refused(manifest.name, reason));
        }
        manifest.digest = manifest.digest_of();
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| ImageError::refused("the manifest", error.to_string()))?;
        let path = self.store.manifest_path(&manifest.name);
        let workplace = self.workplace()?;
        let draft = workplace.path().join("manifest");
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(ImageError::at("write", &draft))?;
        fs::rename(&draft, &path).map_err(ImageError::at("write", &path))?;
        sync(&self.store.root.join("images"))?;
        Ok(manifest)
    }

    /// Removes an image, and the layers that no other image has.
    ///
    /// # Errors
    /// [`ImageError::Unknown`]; [`ImageError::InUse`], and then nothing is removed.
    pub fn remove(&self, name: &str) -> Result<u64, ImageError> {
        let manifest = self.store.manifest(name)?;
        let mut kept = BTreeSet::new();
        for other in self.store.list()?.into_iter().filter(|other| other.name != name) {
            kept.extend(other.layers.into_iter().map(|layer| layer.digest));
        }
        let gone: Vec<_> =
            manifest.layers.iter().filter(|layer| !kept.contains(&layer.digest)).collect();
        let mut locks = Vec::new();
        for layer in &manifest.layers {
            let Ok(folder) = File::open(self.store.layer_path(&layer.digest)) else { continue };
            let in_use = |_| ImageError::InUse { name: name.to_owned() };
            let alone = gone.contains(&layer);
            if alone {
                locks.push(Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(in_use)?);
            }
        }
        let path = self.store.manifest_path(name);
        fs::remove_file(&path).map_err(ImageError::at("remove", &path))?;
        let workplace = self.workplace()?;
        for layer in &gone {
            let path = self.store.layer_path(&layer.digest);
            let aside = workplace.path().join(path.file_name().unwrap_or_default());
            match fs::rename(&path, &aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ImageError::at("remove", &path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(gone.iter().map(|layer| layer.bytes).sum())
    }
}

fn sync(folder: &Path) -> Result<(), ImageError> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(ImageError::at("write out", folder))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest with nothing but a name and layers.
    pub(in crate::image) fn manifest(name: &str, layers: Vec<LayerInfo>) -> Manifest {
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

    fn keep(writer: &Writer, content: &str) -> LayerInfo {
        let workplace = writer.workplace().unwrap();
        fs::write(workplace.path().join("file"), content).unwrap();
        writer.keep(workplace.path(), &[], Times::Fixed).unwrap()
    }

    #[test]
    fn layers_are_shared_and_go_with_the_last_image_that_has_them() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let writer = store.write().unwrap();
        let (shared, own) = (keep(&writer, "shared"), keep(&writer, "own"));
        assert_eq!(shared, keep(&writer, "shared"));
        writer.publish(manifest("one", vec![shared.clone(), own.clone()])).unwrap();
        writer.publish(manifest("two", vec![shared.clone()])).unwrap();
        assert_eq!(store.list().unwrap().len(), 2);
        assert_eq!(writer.remove("one").unwrap(), own.bytes);
        assert!(store.layer_path(&shared.digest).exists());
        assert!(!store.layer_path(&own.digest).exists());
        writer.remove("two").unwrap();
        assert!(!store.layer_path(&shared.digest).exists());
        assert!(matches!(writer.remove("two"), Err(ImageError::Unknown { .. })));
    }

    #[test]
    fn an_image_in_use_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let writer = store.write().unwrap();
        writer.publish(manifest("one", vec![keep(&writer, "x")])).unwrap();
        let image = store.image("one").unwrap();
        let clone = image.clone();
        drop(image);
        assert!(matches!(writer.remove("one"), Err(ImageError::InUse { .. })));
        assert!(store.image("one").is_ok());
        drop(clone);
        writer.remove("one").unwrap();
    }

    #[test]
    fn what_an_interrupted_writer_left_is_removed_and_never_seen() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let writer = store.write().unwrap();
        let workplace = writer.workplace().unwrap();
        fs::write(workplace.path().join("half"), "x").unwrap();
        let path = workplace.path().to_owned();
        // As if the process had been killed: nothing is cleaned up.
        std::mem::forget(workplace);
        drop(writer);
        assert!(path.exists());
        assert!(store.list().unwrap().is_empty());
        drop(store.write().unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_changed_layer_is_found() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let writer = store.write().unwrap();
        let layer = keep(&writer, "x");
        writer.publish(manifest("one", vec![layer.clone()])).unwrap();
        assert_eq!(store.verify(&[]).unwrap(), []);
        fs::write(store.layer_path(&layer.digest).join("file"), "y").unwrap();
        let findings = store.verify(&["one".to_owned()]).unwrap();
        assert!(findings[0].reason.contains("has the digest"), "{findings:?}");
    }

    #[test]
    fn names_that_could_be_paths_or_options_are_refused() {
        for bad in ["", "../x", "a/b", ".hidden", "-rf", "Upper", "host", "a b", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["a", "python-sci", "my.image_2", &"a".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good:?} was refused");
        }
    }
}
