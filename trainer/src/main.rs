//! The command line of the trainer.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, Subcommand};
use tch::Device;
use trainer::config::RunConfig;
use trainer::experiment::{self, Experiment};
use trainer::model::Tokenizer;
use trainer::parallel::{Reduce, Single, TcpRanks};
use trainer::rollout::engine::Backend;
use trainer::rollout::external::{EngineKind, EngineOptions, ExternalEngines};
use trainer::rollout::pool::WorkerPool;
use trainer::rollout::store::ReplayStore;
use trainer::rollout::worker;
use trainer::setup::Learner;
use trainer::train::{Parts, Run};
use trainer::view::{self, View};
use trainer::warm_start::WarmStarts;
use trainer::{device, exporter, limits, metrics, plot, setup};

/// Trains language models on rewards from really executed programs.
#[derive(Debug, Parser)]
#[command(name = "assay-train", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train; goes on where a run in the same folder ended
    Run(RunArguments),
    /// Sample for a run elsewhere, over HTTP
    Worker {
        /// The configuration of the run
        config: PathBuf,
        /// Where to listen; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8091")]
        listen: String,
        #[command(flatten)]
        place: Place,
    },
    /// Be another rank of a run's data-parallel training
    Rank {
        /// The configuration of the run
        config: PathBuf,
        /// Where rank 0 waits
        #[arg(long, value_name = "ADDRESS")]
        join: String,
        /// This rank's number, from 1
        #[arg(long)]
        rank: usize,
        /// How many ranks there are
        #[arg(long)]
        ranks: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Does this device compute what the trainer needs?
    Selftest {
        /// cpu or cuda:N
        #[arg(long, default_value = "cpu")]
        device: String,
    },
    /// Run an experiment: several arms, several seeds, a plot and a table
    Experiment {
        /// Which: opmd_rest, opmd_rest_reuse, sampling, length, partial, context
        name: String,
        /// Where its runs, plot and table are kept
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How many seeds, from 1
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
        /// The folder of configurations
        #[arg(long, value_name = "FOLDER", default_value = "trainer/configs")]
        configs: PathBuf,
        /// Change a key of all arms
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Draw learning curves as SVG; folders that differ in `seed-N` only become one curve with a band
    Plot {
        /// Folders of runs
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// What to draw, a panel each
        #[arg(long = "figure", value_name = "NAME", default_values = ["held_out/success", "reward/value_mean", "policy/entropy"])]
        figures: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The configuration, TOML
    config: PathBuf,
    /// Where the run is kept
    #[arg(long, value_name = "FOLDER", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Change a key of the configuration, such as algorithm.tau=0.5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where to compute: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Threads of one operation on the cpu; with one thread runs are the same bit for bit
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1024))]
    threads: i32,
    /// Rollout workers that sample instead of this process, as host:port,host:port
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    workers: Vec<String>,
    /// Engines that sample instead of this process, and whose they are
    #[arg(long, value_name = "KIND", requires_all = ["engines", "weights"], conflicts_with = "workers")]
    engine: Option<EngineKind>,
    /// Their addresses, as host:port,host:port
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', requires = "engine")]
    engines: Vec<String>,
    /// A folder that engines see under the same name; each version of the weights is written there
    #[arg(long, value_name = "FOLDER", requires = "engine")]
    weights: Option<PathBuf>,
    /// Where Prometheus reads the run's figures, as host:port
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Where other ranks of data-parallel training come to, as host:port
    #[arg(long, value_name = "ADDRESS", requires = "ranks")]
    rendezvous: Option<String>,
    /// How many ranks there are, this one included
    #[arg(long, requires = "rendezvous")]
    ranks: Option<usize>,
    /// Print the configuration with every default, and end
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Change a key of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where to compute: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Who helps with a run, and who watches.
#[derive(Debug, Default)]
struct Crew {
    workers: Vec<String>,
    engines: Option<(EngineKind, Vec<String>, PathBuf)>,
    rendezvous: Option<String>,
    ranks: usize,
    metrics: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(arguments) => run(&arguments),
        Command::Worker { config, listen, place } => worker(&config, &listen, &place),
        Command::Rank { config, join, rank, ranks, place } => {
            let (config, device) = place.open(&config)?;
            let mut learner = setup::learner(&config, device).map_err(|reason| anyhow!(reason))?;
            let links = TcpRanks::join(&join, rank, ranks, &config);
            let mut links = links.map_err(|reason| anyhow!(reason))?;
            let ends = learner.judging.turn_ends();
            let iterations =
                trainer::train::follow(&config, (&mut learner.policy, &ends), &mut links)
                    .map_err(|reason| anyhow!(reason))?;
            view::print(&format!("rank {rank}: {iterations} iterations"));
            Ok(())
        }
        Command::Selftest { device } => selftest(&device),
        Command::Experiment { name, out, seeds, configs, settings } => {
            let all = || experiment::EXPERIMENTS.map(|experiment| experiment.name).join(", ");
            let found = experiment::find(&name)
                .ok_or_else(|| anyhow!("no experiment {name}; there are: {}", all()))?;
            run_experiment(&found, &out, (seeds, &configs), &settings)
        }
        Command::Plot { runs, out, figures } => {
            let figures: Vec<&str> = figures.iter().map(String::as_str).collect();
            plot::draw(&plot::by_seed(&runs), &figures, &out).map_err(|reason| anyhow!(reason))?;
            view::print(&out.display().to_string());
            Ok(())
        }
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let config = RunConfig::read(&arguments.config, &arguments.settings)?;
    // Absent with `--dry-run` alone.
    let Some(out) = arguments.out.as_ref().filter(|_| !arguments.dry_run) else {
        view::print(config.resolved().trim_end());
        return Ok(());
    };
    let device = device::open(&arguments.device).map_err(|reason| anyhow!(reason))?;
    tch::set_num_threads(arguments.threads);
    let engines = arguments.engine.zip(arguments.weights.clone());
    let crew = Crew {
        workers: arguments.workers.clone(),
        engines: engines.map(|(kind, folder)| (kind, arguments.engines.clone(), folder)),
        rendezvous: arguments.rendezvous.clone(),
        ranks: arguments.ranks.unwrap_or(1),
        metrics: arguments.metrics.clone(),
    };
    train(config, (out, device), &crew, &mut WarmStarts::default())
}

impl Place {
    fn open(&self, config: &Path) -> Result<(RunConfig, Device)> {
        let config = RunConfig::read(config, &self.settings)?;
        let device = device::open(&self.device).map_err(|reason| anyhow!(reason))?;
        tch::set_num_threads(1);
        Ok((config, device))
    }
}

fn worker(config: &Path, listen: &str, place: &Place) -> Result<()> {
    let (config, device) = place.open(config)?;
    let learner = setup::learner(&config, device).map_err(|reason| anyhow!(reason))?;
    let routes = worker::routes(learner.policy.decoder, learner.options);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("listening at {listen}"))?;
        view::print(&format!("listening on {}", listener.local_addr()?));
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

fn selftest(device: &str) -> Result<()> {
    let opened = device::open(device).map_err(|reason| anyhow!(reason))?;
    let mut failed = 0;
    for finding in trainer::selftest::run(opened) {
        let word = if finding.passed() { "ok" } else { "FAILED" };
        failed += usize::from(!finding.passed());
        view::print(&format!(
            "{word:6} {}: off by {:.2e}, at most {:.0e}",
            finding.name, finding.difference, finding.bound
        ));
    }
    if failed == 0 { Ok(()) } else { Err(anyhow!("{failed} checks failed on {device}")) }
}

fn train(
    config: RunConfig,
    (out, device): (&Path, Device),
    crew: &Crew,
    warm_starts: &mut WarmStarts,
) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let resolved = config.resolved();
    let mut view = View::new(&config);
    // Whatever is in the way is said before a warm start is made. Other ranks, and whoever reads
    // figures, may come while this one still prepares.
    let goes_on = ReplayStore::open(&out.join("replay.redb"))?.latest()?.is_some();
    let rendezvous = crew.rendezvous.as_deref().map(listen).transpose()?;
    let readers = crew.metrics.as_deref().map(listen).transpose()?;
    let mut learner = setup::learner(&config, device).map_err(|reason| anyhow!(reason))?;
    view.say(&format!("{} parameters on {device:?}", learner.policy.decoder.config().parameters()));
    if !learner.judging.client.is_heard() {
        view.say(&format!("nobody listens at {} yet: is `assay serve` started?", config.judge.url));
    }
    if !goes_on {
        let task = learner.judging.task.as_ref();
        let tokenizer: &Tokenizer = &learner.judging.tokenizer;
        let mut last = 0.0;
        warm_starts
            .run(&config, &mut learner.policy, (task, tokenizer), &mut |_, loss| last = loss)?;
        if last > 0.0 {
            view.say(&format!("warm start: {} steps, loss {last:.3}", config.warm_start.steps));
        }
    }
    let backend = backend(&config, crew, &learner)?;
    let ranks: Box<dyn Reduce> = match &rendezvous {
        Some(listener) => {
            let (address, others) = (listener.local_addr()?, crew.ranks.saturating_sub(1));
            view.say(&format!("waiting for {others} other ranks at {address}"));
            let ranks = TcpRanks::lead(listener, crew.ranks, &config);
            Box::new(ranks.map_err(|reason| anyhow!(reason))?)
        }
        None => Box::new(Single),
    };
    let parts = Parts {
        config,
        folder: out.to_owned(),
        judging: learner.judging,
        backend,
        policy: learner.policy,
        options: learner.options,
        ranks,
        observer: Box::new(move |iteration, metrics| view.show(iteration, metrics)),
        alarm: Box::new(|awaited| drop(writeln!(std::io::stderr(), "{awaited}"))),
        patience: limits::SILENT_WAIT_MAX,
    };
    let run = Run::open(parts)?;
    // A run of another configuration keeps its own: it was refused by now.
    std::fs::write(out.join("config.toml"), resolved)?;
    if let Some(listener) = readers {
        let bound = exporter::serve(listener, run.registry())?;
        view::print(&format!("metrics at http://{bound}/metrics"));
    }
    let found = run.train()?;
    let idle = metrics::idle_for_reward_share(&metrics::read(out)?);
    view::print(&format!(
        "held-out success {:.3}; {:.1} % of the time after ten iterations spent waiting for rewards",
        found.success,
        100.0 * idle
    ));
    Ok(())
}

/// Who samples: this process, workers, or engines of others.
fn backend(config: &RunConfig, crew: &Crew, learner: &Learner) -> Result<Box<dyn Backend>> {
    let lease = config.rollout.lease();
    if let Some((kind, addresses, folder)) = &crew.engines {
        let options = EngineOptions {
            kind: *kind,
            addresses: addresses.clone(),
            folder: folder.clone(),
            lease,
        };
        let model = (learner.policy.decoder.config(), learner.judging.tokenizer.json());
        let engines = ExternalEngines::new(&options, &learner.options, model);
        return Ok(Box::new(engines.map_err(|reason| anyhow!(reason))?));
    }
    if crew.workers.is_empty() {
        let local = setup::local_backend(&learner.policy, &learner.options)?;
        return Ok(Box::new(local.in_tables(config.rollout.tables)));
    }
    let pool = WorkerPool::new(crew.workers.clone(), lease).map_err(|reason| anyhow!(reason))?;
    Ok(Box::new(pool.in_tables(config.rollout.tables)))
}

/// Runs what is not finished yet, arm by arm within each seed; then draws and tabulates.
fn run_experiment(
    experiment: &Experiment,
    out: &Path,
    (seeds, configs): (u64, &Path),
    settings: &[String],
) -> Result<()> {
    tch::set_num_threads(1);
    let (mut runs, mut warm_starts) = (Vec::new(), WarmStarts::default());
    for seed in 1..=seeds {
        for arm in experiment.arms {
            let mut all = experiment.settings_of(arm);
            all.extend(settings.iter().cloned());
            all.push(format!("seed={seed}"));
            let config = RunConfig::read(&configs.join(experiment.config), &all)?;
            let folder = out.join(experiment.name).join(format!("{}-seed-{seed}", arm.name));
            view::print(&format!("== {}, arm {}, seed {seed}", experiment.name, arm.name));
            train(config, (&folder, Device::Cpu), &Crew::default(), &mut warm_starts)?;
            runs.push(folder);
        }
    }
    let series = plot::by_seed(&runs);
    let path = experiment::plot_path(out, experiment);
    plot::draw(&series, experiment.figures, &path).map_err(|reason| anyhow!(reason))?;
    let table = experiment::table(&series, experiment.figures)?;
    std::fs::write(out.join(format!("{}.md", experiment.name)), &table)?;
    view::print(&format!("{}\n{table}", experiment.question));
    Ok(())
}

fn listen(address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("listening at {address}"))
}
