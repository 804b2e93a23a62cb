//! Images as other tools write them: an OCI layout folder, or the archive of `docker save`.
//!
//! Where the blobs come from is a [`Source`]; reading a configuration, unpacking layers and checking
//! every digest on the way is the same for all, and for registries ([`super::registry`]). Nothing is
//! believed before its digest is: a blob against its descriptor, an unpacked layer against the
//! configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ImageError;
use super::layer::{self, Times};
use super::registry::{Reference, Registry};
use super::store::{LayerInfo, Manifest, Writer};
use super::unpack::{self, Budget, Ratio, UnpackLimits};
use crate::limits::{LAYERS_MAX, MANIFEST_BYTES_MAX};

/// Layers of an image before they are put together to what a slot can show.
const FOREIGN_LAYERS_MAX: usize = 256;

/// A blob: its digest, and how many bytes it has.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Descriptor {
    #[serde(default, rename = "mediaType")]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
}

/// A manifest, or a list of them; which of the two is told by the fields that are there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    architecture: String,
    os: String,
    config: Option<Execution>,
    rootfs: RootFs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// A layer as it is to be fetched: of a docker archive the name in it, else the digest.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) name: String,
    /// Packed bytes, where they are known beforehand.
    pub(crate) size: u64,
    /// What its bytes must hash to, where that is said.
    pub(crate) digest: Option<String>,
}

/// What an image consists of, before anything of it is unpacked.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Blob>,
}

/// Where blobs come from.
pub(crate) trait Source {
    /// The image's configuration, its digest checked, and its layers, lowest first.
    fn parts(&mut self) -> Result<Parts, ImageError>;
    /// A layer's packed bytes.
    fn open(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError>;
}

/// How an import is done.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// What the image may bring.
    pub limits: UnpackLimits,
    /// `USER:PASSWORD` for a registry.
    pub credentials: Option<String>,
    /// Whether a registry that is not on this machine may be asked without encryption.
    pub insecure: bool,
}

/// Imports what `from` names: a layout folder (`oci:PATH` or the folder, `:TAG` after it where it has
/// several), an archive (`docker-archive:PATH` or the file), or `docker://HOST/NAME:TAG`.
///
/// # Errors
/// [`ImageError::Refused`] or [`ImageError::Digest`] where the image is not what it should be.
pub fn import(
    writer: &Writer,
    name: &str,
    from: &str,
    options: &ImportOptions,
) -> Result<Manifest, ImageError> {
    let mut source: Box<dyn Source> = if let Some(reference) = from.strip_prefix("docker://") {
        let reference = Reference::parse(reference)?;
        Box::new(Registry::new(reference, writer.store().downloads(), options))
    } else if let Some(path) = from.strip_prefix("docker-archive:") {
        Box::new(Archive::open(Path::new(path))?)
    } else if let Some(path) = from.strip_prefix("oci:") {
        Box::new(Layout::at(path))
    } else if Path::new(from).is_file() {
        Box::new(Archive::open(Path::new(from))?)
    } else {
        Box::new(Layout::at(from))
    };
    import_from(writer, name, from, &mut *source, options.limits)
}

fn import_from(
    writer: &Writer,
    name: &str,
    from: &str,
    source: &mut dyn Source,
    limits: UnpackLimits,
) -> Result<Manifest, ImageError> {
    let start = Instant::now();
    let parts = source.parts()?;
    let config: Configuration = json("the image's configuration", &parts.config)?;
    if (config.os.as_str(), config.architecture.as_str()) != ("linux", architecture()) {
        let reason =
            format!("is for {}/{}, not linux/{}", config.os, config.architecture, architecture());
        return Err(ImageError::refused("the image", reason));
    }
    if parts.layers.len() != config.rootfs.diff_ids.len()
        || parts.layers.is_empty()
        || parts.layers.len() > FOREIGN_LAYERS_MAX
    {
        let reason = format!(
            "has {} layers, its configuration names {}; allowed are 1 to {FOREIGN_LAYERS_MAX}",
            parts.layers.len(),
            config.rootfs.diff_ids.len()
        );
        return Err(ImageError::refused("the image", reason));
    }
    let mut budget = Budget::new(limits);
    let mut layers: Vec<LayerInfo> = Vec::new();
    // The lowest layers beyond what a slot can show are put together in one folder.
    let together = parts.layers.len().saturating_sub(LAYERS_MAX) + 1;
    let mut workplace = writer.workplace()?;
    for (index, (blob, diff_id)) in parts.layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
        let paths = lower_of(writer, &layers);
        let lower: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        unpack_layer(source, (blob, diff_id), workplace.path(), &lower, &mut budget)?;
        if index + 1 >= together {
            layers.push(writer.keep(workplace.path(), &lower, Times::Kept)?);
            workplace = writer.workplace()?;
        }
    }
    let execution = config.config.unwrap_or_default();
    writer.publish(Manifest {
        name: name.to_owned(),
        digest: String::new(),
        layers,
        environment: environment(execution.env.unwrap_or_default())?,
        working_directory: execution.working_dir.filter(|it| !it.is_empty()),
        user: execution.user.filter(|it| !it.is_empty()),
        languages: Vec::new(),
        language_rows: None,
        preload: Vec::new(),
        source: from.to_owned(),
        made_in_s: start.elapsed().as_secs(),
    })
}

/// The folders of these layers, uppermost first.
fn lower_of(writer: &Writer, layers: &[LayerInfo]) -> Vec<PathBuf> {
    layers.iter().rev().map(|layer| writer.store().layer_path(&layer.digest)).collect()
}

fn environment(entries: Vec<String>) -> Result<Vec<String>, ImageError> {
    let good = |entry: &String| {
        entry.split_once('=').is_some_and(|(name, _)| !name.is_empty()) && !entry.contains('\0')
    };
    match entries.iter().find(|entry| !good(entry)) {
        None if entries.len() <= crate::limits::ENVIRONMENT_MAX / 2 => Ok(entries),
        None => Err(ImageError::refused("the image's environment", "has too many entries")),
        Some(_) => {
            Err(ImageError::refused("the image's environment", "has an entry without a name"))
        }
    }
}

/// This machine, as OCI names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Unpacks one layer, and checks the digests of what came and of what was in it.
fn unpack_layer(
    source: &mut dyn Source,
    (blob, diff_id): (&Blob, &str),
    folder: &Path,
    lower: &[&Path],
    budget: &mut Budget,
) -> Result<(), ImageError> {
    let what = format!("layer {}", blob.name);
    let failed = |error: io::Error| ImageError::refused(what.clone(), error.to_string());
    let mut packed = Hashing::new(source.open(blob)?);
    let mut head = Vec::new();
    (&mut packed).take(4).read_to_end(&mut head).map_err(failed)?;
    let whole = head.as_slice().chain(&mut packed);
    let plain: Box<dyn Read + '_> = match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(BufReader::new(whole));
            Box::new(decoder.map_err(|error| failed(io::Error::other(error.to_string())))?)
        }
        _ => Box::new(whole),
    };
    let mut plain = Hashing::new(Ratio::new(plain, blob.size, budget.limits()));
    unpack::unpack(&mut plain, folder, lower, budget)?;
    // What follows the archive's end belongs to the digest.
    io::copy(&mut plain, &mut io::sink()).map_err(failed)?;
    check(&what, diff_id, &plain.digest())?;
    drop(plain);
    io::copy(&mut packed, &mut io::sink()).map_err(failed)?;
    match &blob.digest {
        Some(expected) => check(&what, expected, &packed.digest()),
        None => Ok(()),
    }
}

/// Refuses what does not have the digest that it should have.
pub(crate) fn check(what: &str, expected: &str, found: &str) -> Result<(), ImageError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.chars().take(80).collect(), found.to_owned());
    Err(ImageError::Digest { what: what.to_owned(), expected, found })
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", layer::hex(&Sha256::digest(bytes)))
}

pub(crate) fn json<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::refused(what, error.to_string()))
}

/// Whether this can be a blob's name in a file system or an address.
pub(crate) fn check_digest(digest: &str) -> Result<(), ImageError> {
    let good = digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let what = || digest.chars().take(80).collect::<String>();
    if good { Ok(()) } else { Err(ImageError::refused(what(), "is no sha256 digest")) }
}

/// Takes the manifest for this machine out of a list, `Ok(None)` where the document is no list.
pub(crate) fn choose<'a>(
    document: &'a Document,
    tag: Option<&str>,
) -> Result<Option<&'a Descriptor>, ImageError> {
    if document.config.is_some() {
        return Ok(None);
    }
    let named = |descriptor: &&Descriptor| {
        let name = descriptor.annotations.get("org.opencontainers.image.ref.name");
        tag.is_none_or(|tag| name.is_some_and(|name| name == tag))
    };
    let fits = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_none_or(|platform| {
            platform.os == "linux" && platform.architecture == architecture()
        })
    };
    let mut found = document.manifests.iter().filter(named).filter(fits);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) if tag.is_none() => {
            let tags: Vec<_> = document
                .manifests
                .iter()
                .filter_map(|it| it.annotations.get("org.opencontainers.image.ref.name"))
                .cloned()
                .collect();
            let reason = format!("has several images; name one by its tag: {}", tags.join(", "));
            Err(ImageError::refused("the layout", reason))
        }
        (Some(descriptor), _) => Ok(Some(descriptor)),
        (None, _) => Err(ImageError::refused(
            "the image",
            format!("is not there for linux/{}", architecture()),
        )),
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", layer::hex(&self.hasher.clone().finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// A folder in the OCI image layout.
struct Layout {
    root: PathBuf,
    tag: Option<String>,
}

impl Layout {
    /// `PATH` or `PATH:TAG`.
    fn at(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((path, tag)) if !Path::new(text).exists() => {
                Self { root: path.into(), tag: Some(tag.to_owned()) }
            }
            Some(_) | None => Self { root: text.into(), tag: None },
        }
    }

    fn blob_path(&self, digest: &str) -> Result<PathBuf, ImageError> {
        check_digest(digest)?;
        Ok(self.root.join("blobs/sha256").join(digest.trim_start_matches("sha256:")))
    }

    fn small_blob(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let bytes = small_file(&self.blob_path(digest)?)?;
        check(&format!("blob {digest}"), digest, &digest_of(&bytes))?;
        Ok(bytes)
    }
}

fn small_file(path: &Path) -> Result<Vec<u8>, ImageError> {
    let file = File::open(path).map_err(ImageError::at("open", path))?;
    small(file, &path.display().to_string())
}

/// Reads what may have at most [`MANIFEST_BYTES_MAX`] bytes.
pub(crate) fn small(reader: impl Read, what: &str) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let read = reader.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(ImageError::io(format!("read {what}")))?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(ImageError::refused(what, format!("has more than {MANIFEST_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

impl Source for Layout {
    fn parts(&mut self) -> Result<Parts, ImageError> {
        let mut bytes = small_file(&self.root.join("index.json"))?;
        let mut tag = self.tag.as_deref();
        // A list may name lists; no tool nests them deeper.
        for _ in 0..4 {
            let document: Document = json("a manifest of the layout", &bytes)?;
            match choose(&document, tag)? {
                Some(descriptor) => bytes = self.small_blob(&descriptor.digest)?,
                None => return parts_of(&document, |digest| self.small_blob(digest)),
            }
            tag = None;
        }
        Err(ImageError::refused("the layout", "nests lists too deeply"))
    }

    fn open(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError> {
        let path = self.blob_path(&blob.name)?;
        Ok(Box::new(File::open(&path).map_err(ImageError::at("open", &path))?))
    }
}

/// The parts that a manifest names.
pub(crate) fn parts_of(
    document: &Document,
    mut small_blob: impl FnMut(&str) -> Result<Vec<u8>, ImageError>,
) -> Result<Parts, ImageError> {
    let missing = || ImageError::refused("the manifest", "names no configuration");
    let config = document.config.as_ref().ok_or_else(missing)?;
    let is_file = |layer: &&Descriptor| !layer.media_type.contains("encrypted");
    if document.layers.iter().any(|layer| !is_file(&layer)) {
        return Err(ImageError::refused("the image", "has encrypted layers"));
    }
    let blob = |layer: &Descriptor| Blob {
        name: layer.digest.clone(),
        size: layer.size,
        digest: Some(layer.digest.clone()),
    };
    Ok(Parts {
        config: small_blob(&config.digest)?,
        layers: document.layers.iter().map(blob).collect(),
    })
}

/// The archive of `docker save`.
struct Archive {
    file: File,
    /// Where each file of the archive lies in it, and how long it is.
    index: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, ImageError> {
        let broken =
            |error: io::Error| ImageError::refused(path.display().to_string(), error.to_string());
        let file = File::open(path).map_err(ImageError::at("open", path))?;
        let mut index = BTreeMap::new();
        let mut links = Vec::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
            if index.len() >= FOREIGN_LAYERS_MAX * 8 {
                return Err(ImageError::refused(path.display().to_string(), "has too many files"));
            }
            if let Some(target) = entry.link_name_bytes() {
                links.push((name, String::from_utf8_lossy(&target).into_owned()));
            } else {
                index.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        // Layers that an image has twice are links to the first: `../ID/layer.tar`.
        for (name, target) in links {
            let target = target.trim_start_matches("../");
            if let Some(place) = index.get(target).copied() {
                index.insert(name, place);
            }
        }
        Ok(Self { file, index })
    }

    fn section(&mut self, name: &str) -> Result<io::Take<&mut File>, ImageError> {
        let missing = || ImageError::refused("the archive", format!("has no {name:?}"));
        let (position, size) = *self.index.get(name).ok_or_else(missing)?;
        self.file.seek(SeekFrom::Start(position)).map_err(ImageError::io("read the archive"))?;
        Ok((&mut self.file).take(size))
    }
}

impl Source for Archive {
    fn parts(&mut self) -> Result<Parts, ImageError> {
        let bytes = small(self.section("manifest.json")?, "manifest.json")?;
        let images: Vec<Saved> = json("manifest.json", &bytes)?;
        let [image] = images.as_slice() else {
            let reason = format!("has {} images; save one", images.len());
            return Err(ImageError::refused("the archive", reason));
        };
        let config = small(self.section(&image.config)?, &image.config)?;
        // The file is named by its digest, as HEX.json or as blobs/sha256/HEX.
        let stem = image.config.trim_end_matches(".json").rsplit('/').next().unwrap_or_default();
        check(&image.config, &format!("sha256:{stem}"), &digest_of(&config))?;
        let size = |name: &String| self.index.get(name).map_or(0, |place| place.1);
        let blob = |name: &String| Blob { name: name.clone(), size: size(name), digest: None };
        Ok(Parts { config, layers: image.layers.iter().map(blob).collect() })
    }

    fn open(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError> {
        Ok(Box::new(self.section(&blob.name)?))
    }
}
