//! What judging needs, set up: image, slots, languages.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use judge::config::{Config, SessionsConfig};
use judge::language::{Language, Languages};
use judge::limits::{COMPILE_LIMITS, VERSION_TIME_MAX};
use judge::pipeline::{Caches, Judge};
use judge::plan::warmups;
use judge::reward_model::RewardModels;
use judge::session::{self, Room, SessionMetrics, Sessions};
use judge::slots::{FairSlots, Places};
use judge::telemetry::Metrics;
use sandbox::image::Store;
use sandbox::warm::Warmup;
use sandbox::{Image, Limits, OnReset, PoolConfig, RunSpec, SlotPool, WasmPool};

use super::{Failed, ours};

/// What judging needs.
pub(super) struct Engine {
    pub(super) places: Places,
    pub(super) languages: Languages,
    pub(super) judge: Judge,
    pub(super) metrics: Arc<Metrics>,
    /// What their slots are made of; `None`: there are none.
    sessions: Option<PoolConfig>,
}

impl Engine {
    /// Builds the slots.
    pub(super) async fn start(config: &Config) -> Result<Self, Failed> {
        let metrics = Arc::new(Metrics::new().map_err(ours)?);
        let (languages, slots, sessions) = match config.wasm_only {
            true => (Languages::modules_alone().map_err(ours)?, None, None),
            false => {
                let image = Image::host().map_err(ours)?;
                let languages = languages(&image, &store(config), config.warm_starts)?;
                let mut blueprint = blueprint(config, image, &languages);
                let counted = Arc::clone(&metrics);
                blueprint.on_reset =
                    Some(OnReset::new(move |part, time| counted.operation().reset(part, time)));
                let pool = pool(blueprint.clone()).await?;
                (languages, Some(pool), Some(blueprint))
            }
        };
        let wasm = WasmPool::new(config.slots).map_err(ours)?;
        let places = Places { slots, wasm };
        let caches = Caches::new(config.cache_bytes());
        let reward_models =
            RewardModels::start(&config.judge, &config.value_head, metrics.registry())
                .map_err(|error| super::usage(anyhow::anyhow!(error)))?;
        let slots =
            FairSlots::new(Arc::new(places.clone()), config.slots.get(), Arc::clone(&metrics));
        let judge = Judge::new(Arc::new(slots), Arc::clone(&metrics), caches)
            .with_reward_models(reward_models);
        Ok(Self { places, languages, judge, metrics, sessions })
    }

    /// Sessions, in slots of their own that are made when they are needed.
    pub(super) async fn sessions(&self, config: &Config) -> Result<Option<Sessions>, Failed> {
        let SessionsConfig { open_max, memory_bytes_max } = config.sessions;
        let Some(slots) = NonZeroUsize::new(open_max) else { return Ok(None) };
        // A service of modules alone has none.
        let Some(blueprint) = self.sessions.clone() else { return Ok(None) };
        let own = own_languages(config, &self.languages);
        let warm = own.filter_map(|it| session::warmup(it)).collect();
        let pool = PoolConfig { slots, standing_max: slots, ready: 0, warm, ..blueprint };
        let pool = SlotPool::new(pool).await.map_err(ours)?;
        let metrics = SessionMetrics::new(self.metrics.registry()).map_err(ours)?;
        Ok(Some(Sessions::new(pool, Room { open_max, memory_bytes_max }, metrics)))
    }

    /// Asks every toolchain for its version, in slots.
    pub(super) async fn ask_versions(&mut self) {
        // Those of other images are pinned by their recipes; asking would make a slot for each.
        let Some(pool) = &self.places.slots else { return };
        let own = self.languages.available().filter(|language| language.image.is_none());
        let own = own.filter(|language| !language.version_argv().is_empty());
        let available: Vec<_> = own.cloned().collect();
        let slots = pool.status().slots.max(1);
        let versions: Vec<_> = stream::iter(available)
            .map(|language| async move {
                let answer = tokio::time::timeout(VERSION_TIME_MAX, version(pool, &language)).await;
                (language, answer.ok().flatten())
            })
            .buffer_unordered(slots)
            .collect()
            .await;
        for (language, version) in versions {
            match version {
                Some(version) => self.languages.set_version(&language, &version),
                None => {
                    tracing::warn!(
                        language = language.name,
                        "the toolchain did not say its version"
                    );
                }
            }
        }
    }
}

/// The languages of slots that name no image, if anything is to be warm in those.
fn own_languages<'a>(
    config: &'a Config,
    languages: &'a Languages,
) -> impl Iterator<Item = &'a Arc<Language>> {
    languages.available().filter(|it| config.warm_starts && it.image.is_none())
}

/// What slots are made of, and in them what is to be warm.
fn blueprint(config: &Config, image: Image, languages: &Languages) -> PoolConfig {
    let mut pool = PoolConfig::new(image);
    pool.slots = config.slots;
    pool.warm = own_languages(config, languages).flat_map(|it| warmups(it)).collect();
    pool.cgroup_parent.clone_from(&config.cgroup_parent);
    if let Some(state_dir) = &config.state_dir {
        pool.state_dir.clone_from(state_dir);
    }
    pool
}

async fn pool(blueprint: PoolConfig) -> Result<SlotPool, Failed> {
    SlotPool::new(blueprint).await.map_err(|error| {
        ours(anyhow::Error::new(error).context(
            "the slots could not be built; `assay preflight` says what this host lacks, and \
             `assay serve --wasm-only` runs WebAssembly modules without slots",
        ))
    })
}

/// Where images are kept.
pub(super) fn store(config: &Config) -> Store {
    config.image_store.clone().map_or_else(Store::of_caller, Store::at)
}

/// The languages of the machine's own image, and of those in the store. One that cannot be used is
/// left out, with a word in the log. `are_warm`: whether their interpreters wait loaded in its slots.
pub(super) fn languages(host: &Image, store: &Store, are_warm: bool) -> Result<Languages, Failed> {
    let mut languages = Languages::resolve(|path| host.has_executable(path)).map_err(ours)?;
    for manifest in store.list().map_err(ours)? {
        let added = store.image(&manifest.name).map_err(anyhow::Error::new).and_then(|image| {
            let rows = manifest.language_rows.as_deref();
            let warmed = |image: &Image, alone: &Languages| {
                let warm = |it: &Arc<Language>| warmups(it).into_iter().chain(session::warmup(it));
                let available = alone.available().filter(|_| are_warm);
                image.with_warm(available.flat_map(warm).collect::<Vec<Warmup>>())
            };
            languages.add(&image, rows, warmed).map_err(anyhow::Error::new)
        });
        if let Err(error) = added {
            tracing::warn!(image = manifest.name, "an image cannot be used: {error:#}");
        }
    }
    Ok(languages)
}

async fn version(pool: &SlotPool, language: &Language) -> Option<String> {
    let limits = Limits { cpu_time: Duration::from_secs(5), ..COMPILE_LIMITS };
    let spec = RunSpec::new(language.version_argv())
        .and_then(|spec| spec.env(["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/w"]))
        .and_then(|spec| spec.limits(limits))
        .ok()?;
    let outcome = pool.lease().await.ok()?.run(&spec).await.ok()?;
    let text = [outcome.stdout.bytes, outcome.stderr.bytes].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    outcome.termination.eq(&sandbox::outcome::Termination::Exited { code: 0 }).then_some(())?;
    Some(line.trim().chars().take(120).collect())
}
