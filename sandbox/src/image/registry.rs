//! Registries, by the distribution protocol (OCI distribution specification 1.1).
//!
//! Blobs are fetched into the store's downloads, where a later attempt finds what an earlier one had,
//! and asks for the rest only. A registry that is not on this machine is asked by TLS.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::ImageError;
use super::oci::{
    Blob, Document, ImportOptions, Parts, Source, check, check_digest, choose, digest_of, json,
    parts_of, small,
};

/// Attempts to fetch one blob, each going on where the last ended, and the wait between them.
const ATTEMPTS_MAX: u32 = 6;
const ATTEMPT_WAIT: Duration = Duration::from_millis(200);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
const BODY_TIME_MAX: Duration = Duration::from_secs(3600);

/// The kinds of manifests that can be read.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Which image of which registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: String,
    name: String,
    /// A tag or a digest.
    version: String,
}

impl Reference {
    /// Reads `HOST[:PORT]/NAME[:TAG][@DIGEST]`; the tag is `latest` where both are left out.
    ///
    /// # Errors
    /// [`ImageError::Refused`] with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = |reason: &str| ImageError::refused(format!("docker://{text:.200}"), reason);
        let (host, rest) = text.split_once('/').ok_or_else(|| wrong("names no registry"))?;
        let is_host = host.contains(['.', ':']) || host == "localhost";
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !is_host || !host.chars().all(|c| plain(c) || ":[]".contains(c)) {
            return Err(wrong("must begin with the registry's host: docker://HOST/NAME:TAG"));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) => (name, tag),
            None => (rest, "latest"),
        };
        if let Some(digest) = digest {
            check_digest(digest)?;
        }
        let good = !name.is_empty()
            && name.split('/').all(|part| !part.is_empty() && part.chars().all(plain))
            && !name.split('/').any(|part| part == "..")
            && !tag.is_empty()
            && tag.chars().all(plain);
        if !good {
            return Err(wrong("is no name of an image: NAME is of letters, digits, '.', '_', '-'"));
        }
        let version = digest.unwrap_or(tag).to_owned();
        Ok(Self { host: host.to_owned(), name: name.to_owned(), version })
    }

    fn is_on_this_machine(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    }
}

/// An image in a registry.
pub(crate) struct Registry {
    reference: Reference,
    downloads: PathBuf,
    agent: Agent,
    base: String,
    /// `Basic …`, where the caller has an account.
    account: Option<String>,
    /// What the registry wants to see, once it said so.
    authorization: Option<String>,
}

impl Registry {
    pub(crate) fn new(reference: Reference, downloads: PathBuf, options: &ImportOptions) -> Self {
        let plain = options.insecure || reference.is_on_this_machine();
        let scheme = if plain { "http" } else { "https" };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!plain)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_recv_response(Some(ANSWER_TIME_MAX))
            .timeout_recv_body(Some(BODY_TIME_MAX))
            .build()
            .new_agent();
        let account = options.credentials.as_ref().map(|credentials| {
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
        });
        let base = format!("{scheme}://{}/v2/{}", reference.host, reference.name);
        Self { reference, downloads, agent, base, account, authorization: None }
    }

    /// Asks once, and once more with what the registry wants to see.
    fn ask(&mut self, url: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, ImageError> {
        let mut asked_again = false;
        loop {
            let mut request = self.agent.get(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(authorization) = &self.authorization {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let response = request.call().map_err(|error| failed(url, error))?;
            if response.status() != StatusCode::UNAUTHORIZED || asked_again {
                return Ok(response);
            }
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            let challenge =
                challenge.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
            self.authorization = Some(self.answer(&challenge)?);
            asked_again = true;
        }
    }

    /// What answers a registry's challenge: the account itself, or a token for it.
    fn answer(&self, challenge: &str) -> Result<String, ImageError> {
        let refused = |reason: &str| ImageError::refused(self.reference.host.clone(), reason);
        let Some(parameters) = challenge.strip_prefix("Bearer ") else {
            return self.account.clone().ok_or_else(|| {
                refused("wants an account: set ASSAY_REGISTRY_ACCOUNT to USER:PASSWORD")
            });
        };
        let parameter = |name: &str| {
            let start = parameters.find(&format!("{name}=\""))? + name.len() + 2;
            parameters[start..].split('"').next()
        };
        let realm = parameter("realm").ok_or_else(|| refused("does not say who gives tokens"))?;
        let scope = format!("repository:{}:pull", self.reference.name);
        let mut request = self.agent.get(realm).query("scope", &scope);
        if let Some(service) = parameter("service") {
            request = request.query("service", service);
        }
        if let Some(account) = &self.account {
            request = request.header(header::AUTHORIZATION, account);
        }
        let mut response = request.call().map_err(|error| failed(realm, error))?;
        if !response.status().is_success() {
            return Err(refused(&format!("gave no token: {}", response.status())));
        }
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bytes = small(response.body_mut().as_reader(), "a token")?;
        let token: Token = json("a token", &bytes)?;
        let token = token.token.or(token.access_token).ok_or_else(|| refused("gave no token"))?;
        Ok(format!("Bearer {token}"))
    }

    fn small_blob(&mut self, digest: &str) -> Result<Vec<u8>, ImageError> {
        check_digest(digest)?;
        let url = format!("{}/blobs/{digest}", self.base);
        let mut response = expect_success(&url, self.ask(&url, &[])?)?;
        let bytes = small(response.body_mut().as_reader(), digest)?;
        check(&format!("blob {digest}"), digest, &digest_of(&bytes))?;
        Ok(bytes)
    }

    fn manifest(&mut self, version: &str) -> Result<Vec<u8>, ImageError> {
        let url = format!("{}/manifests/{version}", self.base);
        let response = self.ask(&url, &[("accept", MANIFESTS)])?;
        let mut response = expect_success(&url, response)?;
        let bytes = small(response.body_mut().as_reader(), "a manifest")?;
        if version.starts_with("sha256:") {
            check(&format!("manifest {version}"), version, &digest_of(&bytes))?;
        }
        Ok(bytes)
    }

    /// Gets what is still missing of a blob; whether it is whole now.
    fn fetch_rest(&mut self, blob: &Blob, path: &std::path::Path) -> Result<(), ImageError> {
        let url = format!("{}/blobs/{}", self.base, blob.name);
        let file = File::options().create(true).append(true).open(path);
        let mut file = file.map_err(ImageError::at("open", path))?;
        let length = |file: &File| file.metadata().map(|found| found.len());
        let mut have = length(&file).map_err(ImageError::at("read", path))?;
        if have >= blob.size {
            return Ok(());
        }
        let range = format!("bytes={have}-");
        let mut response = self.ask(&url, &[("range", &range)])?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                // It does not do ranges: from the start again.
                file.set_len(0).map_err(ImageError::at("empty", path))?;
                have = 0;
            }
            _ => return expect_success(&url, response).map(drop),
        }
        // One byte more than there should be tells that there is more.
        let body = response.body_mut().as_reader().take(blob.size - have + 1);
        io::copy(&mut { body }, &mut file).map_err(ImageError::io(format!("fetch {url}")))?;
        Ok(())
    }
}

fn failed(url: &str, error: ureq::Error) -> ImageError {
    ImageError::Io { operation: format!("fetch {url}"), source: io::Error::other(error) }
}

fn expect_success(url: &str, response: Response<Body>) -> Result<Response<Body>, ImageError> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(ImageError::refused(url, "is not there")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(ImageError::refused(url, "is not for this account (ASSAY_REGISTRY_ACCOUNT)"))
        }
        status => Err(ImageError::refused(url, format!("answered {status}"))),
    }
}

impl Source for Registry {
    fn parts(&mut self) -> Result<Parts, ImageError> {
        let version = self.reference.version.clone();
        let mut bytes = self.manifest(&version)?;
        for _ in 0..4 {
            let document: Document = json("the registry's manifest", &bytes)?;
            match choose(&document, None)? {
                Some(descriptor) => {
                    check_digest(&descriptor.digest)?;
                    bytes = self.manifest(&descriptor.digest)?;
                }
                None => return parts_of(&document, |digest| self.small_blob(digest)),
            }
        }
        Err(ImageError::refused("the registry's manifest", "nests lists too deeply"))
    }

    fn open(&mut self, blob: &Blob) -> Result<Box<dyn Read + '_>, ImageError> {
        check_digest(&blob.name)?;
        let path = self.downloads.join(blob.name.trim_start_matches("sha256:"));
        let mut wait = ATTEMPT_WAIT;
        for attempt in 1.. {
            let result = self.fetch_rest(blob, &path);
            let have = std::fs::metadata(&path).map_or(0, |found| found.len());
            match result {
                Ok(()) if have == blob.size => break,
                Ok(()) if have > blob.size => {
                    std::fs::remove_file(&path).map_err(ImageError::at("remove", &path))?;
                    let reason = format!("has more than its {} bytes", blob.size);
                    return Err(ImageError::refused(format!("blob {}", blob.name), reason));
                }
                Err(error @ (ImageError::Refused { .. } | ImageError::Digest { .. })) => {
                    return Err(error);
                }
                Ok(()) | Err(_) if attempt < ATTEMPTS_MAX => {
                    tracing::warn!(blob = blob.name, have, attempt, "a download was cut short");
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                Ok(()) => {
                    let reason = format!("ends after {have} of {} bytes", blob.size);
                    return Err(ImageError::refused(format!("blob {}", blob.name), reason));
                }
                Err(error) => return Err(error),
            }
        }
        let file = File::open(&path).map_err(ImageError::at("open", &path))?;
        // The name goes now: whoever reads to the end and finds the digest wrong shall not find the
        // same bytes again, and what was read well lies in a layer.
        std::fs::remove_file(&path).map_err(ImageError::at("remove", &path))?;
        Ok(Box::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_or_refused() {
        let read = |text| Reference::parse(text).map(|it| (it.host, it.name, it.version));
        let parts = |host: &str, name: &str, version: &str| {
            (host.to_owned(), name.to_owned(), version.to_owned())
        };
        assert_eq!(read("localhost:5000/a/b:1").unwrap(), parts("localhost:5000", "a/b", "1"));
        assert_eq!(read("r.example/a").unwrap(), parts("r.example", "a", "latest"));
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = format!("r.example/a:1@{digest}");
        assert_eq!(read(&pinned).unwrap(), parts("r.example", "a", &digest));
        for bad in [
            "debian",
            "library/debian",
            "r.example/",
            "r.example/../x",
            "r.example/a:",
            "r.example/a@sha256:1",
            "r.example/a?x=y",
            "user@r.example/a",
        ] {
            assert!(read(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn only_this_machine_is_asked_without_encryption() {
        let base = |text, insecure| {
            let options = ImportOptions { insecure, ..ImportOptions::default() };
            Registry::new(Reference::parse(text).unwrap(), PathBuf::new(), &options).base
        };
        assert!(base("127.0.0.1:5000/a", false).starts_with("http://"));
        assert!(base("localhost:5000/a", false).starts_with("http://"));
        assert!(base("localhost.example:5000/a", false).starts_with("https://"));
        assert!(base("r.example/a", false).starts_with("https://"));
        assert!(base("r.example/a", true).starts_with("http://"));
    }
}
