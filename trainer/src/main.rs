//! The command line of the trainer.
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use tch::Device;
use trainer::config::RunConfig;
use trainer::experiment::{self, Experiment};
use trainer::model::Tokenizer;
use trainer::parallel::Single;
use trainer::train::{Parts, Run};
use trainer::view::View;
use trainer::{device, plot, setup, warm_start};

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
    /// Run an experiment: several arms, several seeds, a plot and a table
    Experiment {
        /// Which: opmd_rest, sampling, length, partial, context
        name: String,
        /// Where its runs, plot and table are kept
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How many seeds, from 1
        #[arg(long, default_value_t = 3)]
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
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Change a key of the configuration, such as algorithm.tau=0.5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where to compute: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Threads of one operation on the cpu; with one thread runs are the same bit for bit
    #[arg(long, default_value_t = 1)]
    threads: i32,
    /// Print the configuration with every default, and end
    #[arg(long)]
    dry_run: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run(arguments) => run(&arguments),
        Command::Experiment { name, out, seeds, configs, settings } => {
            let found = experiment::find(&name).ok_or_else(|| anyhow!("no experiment {name}"))?;
            run_experiment(found, &out, (seeds, &configs), &settings)
        }
        Command::Plot { runs, out, figures } => {
            let figures: Vec<&str> = figures.iter().map(String::as_str).collect();
            plot::draw(&plot::by_seed(&runs), &figures, &out).map_err(|reason| anyhow!(reason))?;
            println!("{}", out.display());
            Ok(())
        }
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let config = RunConfig::read(&arguments.config, &arguments.settings)?;
    if arguments.dry_run {
        print!("{}", config.resolved());
        return Ok(());
    }
    let device = device::open(&arguments.device).map_err(|reason| anyhow!(reason))?;
    tch::set_num_threads(arguments.threads);
    train(config, &arguments.out, device)
}

fn train(config: RunConfig, out: &Path, device: Device) -> Result<()> {
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("config.toml"), config.resolved())?;
    let mut view = View::new(&config);
    let mut learner = setup::learner(&config, device).map_err(|reason| anyhow!(reason))?;
    view.say(&format!("{} parameters on {device:?}", learner.policy.decoder.config().parameters()));
    if !has_checkpoint(out) {
        let task = learner.judging.task.as_ref();
        let tokenizer: &Tokenizer = &learner.judging.tokenizer;
        let mut last = 0.0;
        warm_start::run(&config, &mut learner.policy, (task, tokenizer), &mut |_, loss| {
            last = loss
        })?;
        view.say(&format!("warm start: {} steps, loss {last:.3}", config.warm_start.steps));
    }
    let backend = setup::local_backend(&learner.policy, &learner.options)?;
    let parts = Parts {
        config,
        folder: out.to_owned(),
        judging: learner.judging,
        backend: Box::new(backend),
        policy: learner.policy,
        options: learner.options,
        ranks: Box::new(Single),
        observer: Box::new(move |iteration, metrics| view.show(iteration, metrics)),
    };
    let found = Run::open(parts)?.train()?;
    println!("held-out success {:.3}", found.success);
    Ok(())
}

/// Runs what is not finished yet, arm by arm within each seed; then draws and tabulates.
fn run_experiment(
    experiment: &Experiment,
    out: &Path,
    (seeds, configs): (u64, &Path),
    settings: &[String],
) -> Result<()> {
    tch::set_num_threads(1);
    let mut runs = Vec::new();
    for seed in 1..=seeds {
        for arm in experiment.arms {
            let own = experiment.settings.iter().chain(arm.settings).map(|set| (*set).to_owned());
            let mut all: Vec<String> = own.chain(settings.iter().cloned()).collect();
            all.push(format!("seed={seed}"));
            let config = RunConfig::read(&configs.join(experiment.config), &all)?;
            let folder = out.join(experiment.name).join(format!("{}-seed-{seed}", arm.name));
            println!("== {}, arm {}, seed {seed}", experiment.name, arm.name);
            train(config, &folder, Device::Cpu)?;
            runs.push(folder);
        }
    }
    let series = plot::by_seed(&runs);
    let path = experiment::plot_path(out, experiment);
    plot::draw(&series, experiment.figures, &path).map_err(|reason| anyhow!(reason))?;
    let table = experiment::table(&series, experiment.figures)?;
    std::fs::write(out.join(format!("{}.md", experiment.name)), &table)?;
    println!("{}\n{table}", experiment.question);
    Ok(())
}

fn has_checkpoint(folder: &Path) -> bool {
    folder.join("replay.redb").exists() && trainer::train::newest_checkpoint(folder).is_ok()
}
