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

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C bit by bit, from its definition.
    fn checksum(data: &[u8]) -> u32 {
        let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
        let crc = !data.iter().fold(!0, byte);
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    }

    fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length = usize::try_from(number(at)).unwrap();
            assert_eq!(number(at + 4), 0, "records here are short");
            assert_eq!(number(at + 8), checksum(&bytes[at..at + 8]));
            let data = &bytes[at + 12..at + 12 + length];
            assert_eq!(number(at + 12 + length), checksum(data));
            records.push(data.to_vec());
            at += 16 + length;
        }
        records
    }

    #[test]
    fn records_have_their_checksums_and_figures_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 3).unwrap();
        writer.scalars(300, &[("a/b".to_owned(), 1.5)].into()).unwrap();
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert!(file.to_string_lossy().contains("tfevents"));
        let records = records(&fs::read(file).unwrap());
        assert_eq!(records.len(), 2);
        assert!(records[0].ends_with(b"brain.Event:2"));
        // After the wall time: step 300, then a summary of one value, its tag and its number.
        let mut wanted = vec![0x10, 0xac, 0x02, 0x2a, 0x0c, 0x0a, 0x0a, 0x0a, 0x03];
        wanted.extend(b"a/b");
        wanted.push(0x15);
        wanted.extend(1.5_f32.to_le_bytes());
        assert_eq!(records[1][9..], wanted);
    }
}
