//! TensorBoard's event files: records of length, checksum, bytes, checksum; the bytes are an
//! `Event` message of protocol buffers, of which two fields and two submessages are needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// Makes a new file in the folder; TensorBoard joins all of a folder, later ones over earlier.
    ///
    /// # Errors
    /// A folder or file that cannot be made.
    pub fn create(folder: &Path, iteration: u64) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, process) = (since.as_secs(), std::process::id());
        let name = format!("events.out.tfevents.{seconds:010}.assay.{process}.{iteration}");
        let mut writer = Self { file: File::create(folder.join(name))? };
        let mut event = Vec::new();
        double(&mut event, 1, since.as_secs_f64());
        bytes(&mut event, 3, b"brain.Event:2");
        writer.record(&event)?;
        Ok(writer)
    }

    /// Writes figures of a step.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn scalars(&mut self, step: u64, values: &BTreeMap<String, f64>) -> std::io::Result<()> {
        let mut summary = Vec::new();
        for (name, value) in values {
            let mut entry = Vec::new();
            bytes(&mut entry, 1, name.as_bytes());
            tag(&mut entry, 2, 5);
            entry.extend_from_slice(&single(*value).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = Vec::new();
        double(&mut event, 1, now.as_secs_f64());
        tag(&mut event, 2, 0);
        varint(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> std::io::Result<()> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked(&length).to_le_bytes());
        record.extend_from_slice(data);
        record.extend_from_slice(&masked(data).to_le_bytes());
        self.file.write_all(&record)?;
        self.file.flush()
    }
}

/// The checksum that records carry: turned and shifted, so that a checksum of checksums differs.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn tag(to: &mut Vec<u8>, field: u64, wire: u64) {
    varint(to, field << 3 | wire);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push((value & 0x7f) as u8);
}

fn double(to: &mut Vec<u8>, field: u64, value: f64) {
    tag(to, field, 1);
    to.extend_from_slice(&value.to_le_bytes());
}

fn bytes(to: &mut Vec<u8>, field: u64, value: &[u8]) {
    tag(to, field, 2);
    varint(to, u64::try_from(value.len()).unwrap_or(u64::MAX));
    to.extend_from_slice(value);
}

#[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits")]
fn single(value: f64) -> f32 {
    value as f32
}
