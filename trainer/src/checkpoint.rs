//! Checkpoints: a folder in Hugging Face layout with the trainer's state beside the weights,
//! written under another name, brought to the disk, and then renamed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::limits::SHARD_BYTES_MAX;
use crate::model::files::{self, bytes_of};
use crate::model::{ModelConfig, ModelError, Tokenizer};
use crate::policy::Weights;
use crate::problems::ProblemTable;
use crate::rollout::Group;
use crate::rollout::ledger::Ledger;

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";

/// All that a run goes on from, beside weights and optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Version of the weights: iterations that are done.
    pub version: u64,
    /// Hash of the configuration.
    pub config_hash: String,
    /// The problems and what is known of them.
    pub problems: ProblemTable,
    /// Who is dispatched and what became of them.
    pub ledger: Ledger,
    /// The number of the next group.
    pub next_group: u64,
    /// Batches that are assigned and not trained: number, version that samples, groups.
    pub assigned: Vec<Assigned>,
    /// Groups that the batch before the first of those left unfinished.
    pub carry: Vec<Group>,
    /// Iterations in a row without a valid reward.
    pub barren: u32,
}

/// A batch that is assigned and not trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assigned {
    /// Its number.
    pub batch: u64,
    /// The version that samples it.
    pub version: u64,
    /// Its new groups, of which nothing is sampled.
    pub groups: Vec<Group>,
}

/// What is written.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    /// Shape of the model.
    pub config: &'a ModelConfig,
    /// Its weights.
    pub weights: &'a Weights,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The optimizer's state.
    pub optimizer: &'a [(String, Tensor)],
    /// Older versions that still sample.
    pub behaviour: &'a [Weights],
    /// The rest.
    pub state: &'a TrainerState,
}

/// What is read.
#[derive(Debug)]
pub struct Restored {
    /// The weights.
    pub weights: Weights,
    /// The optimizer's state; empty where there is none.
    pub optimizer: Vec<(String, Tensor)>,
    /// Older versions that still sample.
    pub behaviour: Vec<Weights>,
    /// The rest.
    pub state: TrainerState,
}

/// The name of a checkpoint's folder.
#[must_use]
pub fn folder_name(version: u64) -> String {
    format!("step_{version:06}")
}

impl Checkpoint<'_> {
    /// Writes the folder; returns its name.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, parent: &Path) -> Result<String, ModelError> {
        let name = folder_name(self.state.version);
        let (target, temporary) = (parent.join(&name), parent.join(format!("{name}.tmp")));
        for old in [&target, &temporary] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(|e| failed(old, e))?;
            }
        }
        fs::create_dir_all(&temporary).map_err(|e| failed(&temporary, e))?;
        files::write_model(&temporary, self.config, &self.weights.tensors, SHARD_BYTES_MAX)?;
        files::write(&temporary.join("tokenizer.json"), self.tokenizer.json())?;
        if !self.optimizer.is_empty() {
            files::write(&temporary.join(OPTIMIZER), &bytes_of(self.optimizer)?)?;
        }
        for weights in self.behaviour {
            files::write(
                &temporary.join(behaviour_name(weights.version)),
                &bytes_of(&weights.tensors)?,
            )?;
        }
        let state = serde_json::to_vec(self.state)
            .map_err(|error| ModelError::Config(error.to_string()))?;
        files::write(&temporary.join(STATE), &state)?;
        sync_folder(&temporary)?;
        fs::rename(&temporary, &target).map_err(|e| failed(&target, e))?;
        sync_folder(parent)?;
        Ok(name)
    }
}

/// Reads a checkpoint's folder. `order` are the names of the model's tensors, in its order.
///
/// # Errors
/// Files that are missing or broken.
pub fn read(folder: &Path, order: &[String]) -> Result<Restored, ModelError> {
    let path = folder.join(STATE);
    let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
    let state: TrainerState = serde_json::from_slice(&bytes)
        .map_err(|error| ModelError::Content { path, reason: error.to_string() })?;
    let tensors = ordered(files::read_shards(folder)?, order)?;
    let optimizer = folder.join(OPTIMIZER);
    let optimizer = if optimizer.exists() { files::read_tensors(&optimizer)? } else { Vec::new() };
    let mut behaviour = Vec::new();
    let mut versions: Vec<u64> = state.assigned.iter().map(|assigned| assigned.version).collect();
    versions.dedup();
    for version in versions.into_iter().filter(|version| *version != state.version) {
        let tensors = files::read_tensors(&folder.join(behaviour_name(version)))?;
        let made = Instant::now();
        behaviour.push(Weights { version, tensors: ordered(tensors, order)?, made });
    }
    let weights = Weights { version: state.version, tensors, made: Instant::now() };
    Ok(Restored { weights, optimizer, behaviour, state })
}

/// Removes all but the newest folders, and what an interrupted writing left.
pub fn prune(parent: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let (temporary, whole): (Vec<_>, Vec<_>) =
        folders.into_iter().partition(|path| path.extension().is_some());
    let old = whole.len().saturating_sub(keep);
    for path in temporary.iter().chain(&whole[..old]) {
        // One that stays costs room and nothing else.
        drop(fs::remove_dir_all(path));
    }
}

fn ordered(
    mut tensors: Vec<(String, Tensor)>,
    order: &[String],
) -> Result<Vec<(String, Tensor)>, ModelError> {
    let take = |name: &String| {
        let at = tensors.iter().position(|(other, _)| other == name);
        let missing = || ModelError::Tensor { name: name.clone(), reason: "is missing".to_owned() };
        at.map(|at| tensors.swap_remove(at)).ok_or_else(missing)
    };
    order.iter().map(take).collect()
}

fn behaviour_name(version: u64) -> String {
    format!("behaviour_{version:06}.safetensors")
}

fn sync_folder(path: &Path) -> Result<(), ModelError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| failed(path, e))
}

fn failed(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::File { path: path.to_owned(), source }
}
