//! Weights in memory that the processes of one host share.
//!
//! The master writes a version once, into a file without a name under `/dev/shm`, and tells each
//! worker where it finds the open file. Nothing is left when the master ends, however it ends. What
//! a worker reads counts only if its SHA-256 is the one that was told.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tch::Tensor;

use super::http::worded;
use crate::limits::SHARED_BYTES_MAX;
use crate::model::files::{bytes_of, hexadecimal, tensors_of};
use crate::policy::Weights;

/// Where the kernel keeps files in memory.
const FOLDER: &str = "/dev/shm";

/// A version in shared memory, for as long as this lives.
#[derive(Debug)]
pub struct SharedWeights {
    file: File,
    bytes: u64,
    sha256: String,
}

/// Where a worker finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The process that holds the file open.
    pub process: u32,
    /// Its number there.
    pub descriptor: i32,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl SharedWeights {
    /// Writes a version.
    ///
    /// # Errors
    /// In a sentence: no such folder, no room, too many bytes.
    pub fn of(weights: &Weights) -> Result<Self, String> {
        let bytes = bytes_of(&weights.tensors).map_err(worded)?;
        let length = bytes.len() as u64;
        if length > SHARED_BYTES_MAX {
            return Err(format!("{length} bytes are too many for shared memory"));
        }
        let mut file = tempfile::tempfile_in(FOLDER).map_err(worded)?;
        file.write_all(&bytes).map_err(worded)?;
        Ok(Self { file, bytes: length, sha256: hexadecimal(&Sha256::digest(&bytes)) })
    }

    /// What a worker is told.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let (process, descriptor) = (std::process::id(), self.file.as_raw_fd());
        Offer { process, descriptor, bytes: self.bytes, sha256: self.sha256.clone() }
    }
}

/// Reads what is offered.
///
/// # Errors
/// In a sentence: a process that is not on this host, or content that is not what was told.
pub fn read(offer: &Offer) -> Result<Vec<(String, Tensor)>, String> {
    let path = format!("/proc/{}/fd/{}", offer.process, offer.descriptor);
    let found = std::fs::metadata(Path::new(&path)).map_err(worded)?;
    // Not a pipe, which would be waited for, and not more than was told.
    if !found.is_file() || found.len() != offer.bytes || found.len() > SHARED_BYTES_MAX {
        return Err("what is offered is not there".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(worded)?;
    file.take(offer.bytes).read_to_end(&mut bytes).map_err(worded)?;
    if hexadecimal(&Sha256::digest(&bytes)) != offer.sha256 {
        return Err("the checksum does not match".to_owned());
    }
    tensors_of(&bytes)
}

/// Whether an address `host:port` is this host, as far as its name says.
#[must_use]
pub fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = |ip: std::net::IpAddr| ip.is_loopback();
    host == "localhost" || host.parse().is_ok_and(loopback)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn weights() -> Weights {
        let tensors = vec![("a".to_owned(), Tensor::from_slice(&[1.0_f32, 2.0, 3.0]))];
        Weights { version: 4, tensors, made: Instant::now() }
    }

    #[test]
    fn what_is_offered_is_read_and_anything_else_is_refused() {
        let shared = SharedWeights::of(&weights()).unwrap();
        let offer = shared.offer();
        for _ in 0..2 {
            let read = read(&offer).unwrap();
            assert_eq!(Vec::<f32>::try_from(&read[0].1).unwrap(), [1.0, 2.0, 3.0]);
        }
        let other = Offer { sha256: "0".repeat(64), ..offer };
        assert!(read(&other).unwrap_err().contains("checksum"));
        let longer = Offer { bytes: offer.bytes + 1, ..offer.clone() };
        assert!(read(&longer).unwrap_err().contains("not there"));
        drop(shared);
        assert!(read(&offer).is_err(), "it outlived its owner");
    }

    #[test]
    fn only_loopback_addresses_are_this_host() {
        for local in ["127.0.0.1:8091", "[::1]:8091", "localhost:1", "127.3.2.1:9"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["10.0.0.2:8091", "worker:8091", "128.0.0.1:1", ""] {
            assert!(!is_local(other), "{other}");
        }
    }
}
