//! Checkpoints in Hugging Face layout: `config.json`, one or several `.safetensors` files with an
//! index, `tokenizer.json`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, Tensor};

use super::{Decoder, ModelConfig, ModelError, count, dim};
use crate::limits::{SHARD_BYTES_MAX, TENSORS_MAX};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Reads the model of a folder.
///
/// # Errors
/// Files that are missing, broken, or of a model that this decoder is not.
pub fn read_model(folder: &Path, kind: Kind, device: Device) -> Result<Decoder, ModelError> {
    let config = ModelConfig::read(&folder.join("config.json"))?;
    Decoder::new(config, read_shards(folder)?, kind, device)
}

/// Reads all tensors of a folder, from one file or from those that its index names.
///
/// # Errors
/// Files that are missing or broken.
pub fn read_shards(folder: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return read_tensors(&folder.join(SINGLE));
    }
    let bytes = std::fs::read(&index).map_err(|e| file(&index, e))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| content(&index, e))?;
    let map = value["weight_map"].as_object().ok_or_else(|| content(&index, "no weight_map"))?;
    let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    shards.sort_unstable();
    shards.dedup();
    let mut tensors = Vec::new();
    for shard in shards {
        if shard.contains('/') || shard.contains("..") {
            return Err(content(&index, format!("{shard} is not beside the index")));
        }
        tensors.extend(read_tensors(&folder.join(shard))?);
    }
    if tensors.len() != map.len() {
        let reason = format!("{} tensors are named, {} found", map.len(), tensors.len());
        return Err(content(&index, reason));
    }
    Ok(tensors)
}

/// Reads one `.safetensors` file.
///
/// # Errors
/// A file that cannot be read, or a kind of number that has no place here.
pub fn read_tensors(path: &Path) -> Result<Vec<(String, Tensor)>, ModelError> {
    let bytes = std::fs::read(path).map_err(|e| file(path, e))?;
    tensors_of(&bytes).map_err(|reason| content(path, reason))
}

/// The tensors in the bytes of a `.safetensors` file, in the order of their names.
///
/// # Errors
/// In a sentence, what is wrong with the bytes.
pub fn tensors_of(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let parsed = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    if parsed.len() > TENSORS_MAX {
        return Err(format!("{} tensors are too many", parsed.len()));
    }
    let mut tensors = Vec::with_capacity(parsed.len());
    for (name, view) in parsed.tensors() {
        let kind =
            kind_of(view.dtype()).ok_or_else(|| format!("{name} is of kind {:?}", view.dtype()))?;
        let shape: Vec<i64> = view.shape().iter().map(|size| dim(*size)).collect();
        tensors.push((name, Tensor::from_data_size(view.data(), &shape, kind)));
    }
    tensors.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(tensors)
}

/// The bytes of a `.safetensors` file with these tensors.
///
/// # Errors
/// A kind of number that the format does not have.
pub fn bytes_of(tensors: &[(String, Tensor)]) -> Result<Vec<u8>, ModelError> {
    let mut raw = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let flat = tensor.detach().to_device(Device::Cpu).contiguous();
        let dtype = dtype_of(flat.kind()).ok_or_else(|| ModelError::Tensor {
            name: name.clone(),
            reason: format!("{:?} cannot be stored", flat.kind()),
        })?;
        let mut bytes = vec![0; flat.numel() * flat.kind().elt_size_in_bytes()];
        flat.copy_data_u8(&mut bytes, flat.numel());
        let shape: Vec<usize> = flat.size().iter().map(|size| count(*size)).collect();
        raw.push((name, dtype, shape, bytes));
    }
    let mut views = BTreeMap::new();
    for (name, dtype, shape, bytes) in &raw {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| {
            ModelError::Tensor { name: (*name).clone(), reason: error.to_string() }
        })?;
        views.insert((*name).clone(), view);
    }
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    serialize(&views, Some(metadata)).map_err(|error| ModelError::Config(error.to_string()))
}

/// Writes `config.json` and the tensors, in as many files as `shard_bytes` asks for, and waits
/// until they are on the disk.
///
/// # Errors
/// Files that cannot be written.
pub fn write_model(
    folder: &Path,
    config: &ModelConfig,
    tensors: &[(String, Tensor)],
    shard_bytes: usize,
) -> Result<(), ModelError> {
    write(&folder.join("config.json"), config.to_json().to_string().as_bytes())?;
    let shards = split(tensors, shard_bytes.min(SHARD_BYTES_MAX));
    if let [only] = shards.as_slice() {
        return write(&folder.join(SINGLE), &bytes_of(only)?);
    }
    let mut map = serde_json::Map::new();
    let mut total = 0;
    for (at, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", at + 1, shards.len());
        for (tensor_name, tensor) in *shard {
            map.insert(tensor_name.clone(), json!(name));
            total += tensor_bytes(tensor);
        }
        write(&folder.join(&name), &bytes_of(shard)?)?;
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    write(&folder.join(INDEX), index.to_string().as_bytes())
}

/// Writes a file and waits until it is on the disk.
///
/// # Errors
/// Which file, and why.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let mut opened = File::create(path).map_err(|e| file(path, e))?;
    opened.write_all(bytes).and_then(|()| opened.sync_all()).map_err(|e| file(path, e))
}

/// SHA-256 over names, shapes and bytes of tensors, in hexadecimal digits.
///
/// # Errors
/// As [`bytes_of`].
pub fn digest(tensors: &[(String, Tensor)]) -> Result<String, ModelError> {
    Ok(hexadecimal(&Sha256::digest(bytes_of(tensors)?)))
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn split(tensors: &[(String, Tensor)], shard_bytes: usize) -> Vec<&[(String, Tensor)]> {
    let mut shards = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, (_, tensor)) in tensors.iter().enumerate() {
        let bytes = tensor_bytes(tensor);
        if at > start && size + bytes > shard_bytes {
            shards.push(&tensors[start..at]);
            (start, size) = (at, 0);
        }
        size += bytes;
    }
    shards.push(&tensors[start..]);
    shards
}

fn tensor_bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

const KINDS: [(Dtype, Kind); 5] = [
    (Dtype::F64, Kind::Double),
    (Dtype::F32, Kind::Float),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
];

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(other, _)| *other == dtype).map(|(_, kind)| *kind)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(_, other)| *other == kind).map(|(dtype, _)| *dtype)
}

fn file(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::File { path: path.to_owned(), source }
}

fn content(path: &Path, reason: impl ToString) -> ModelError {
    ModelError::Content { path: path.to_owned(), reason: reason.to_string() }
}
