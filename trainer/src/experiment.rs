//! Experiments: the same run in several arms that differ in a few settings, each with several seeds,
//! drawn into one plot and written into one table.

use std::path::Path;

use crate::plot::{Band, Series, curve};

/// An arm: what it is called, and the settings that make it.
#[derive(Clone, Copy, Debug)]
pub struct Arm {
    /// Its name.
    pub name: &'static str,
    /// `key.key=value` over the experiment's own settings.
    pub settings: &'static [&'static str],
}

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// The configuration that it starts from, in the folder of configurations.
    pub config: &'static str,
    /// Settings of all arms.
    pub settings: &'static [&'static str],
    /// The arms.
    pub arms: &'static [Arm],
    /// Figures that are drawn and tabulated.
    pub figures: &'static [&'static str],
}

/// Settings of all: long enough to see the order of the arms, short enough for a laptop.
const SHORT: [&str; 4] =
    ["iterations=40", "evaluation.every=8", "evaluation.problems=100", "checkpoint.every=0"];

const OPMD_AND_REST: &[Arm] = &[
    Arm { name: "opmd", settings: &[] },
    Arm { name: "rest-positives", settings: &["algorithm.name=rest"] },
    Arm { name: "rest-best", settings: &["algorithm.name=rest", "algorithm.keep=best"] },
];

/// All experiments.
pub const EXPERIMENTS: [Experiment; 6] = [
    Experiment {
        name: "opmd_rest",
        question: "mirror descent against self-training on the same number of samples",
        config: "named_ops.toml",
        settings: &[],
        arms: OPMD_AND_REST,
        figures: &["held_out/success", "reward/value_mean", "policy/entropy", "reward/pass_at_k"],
    },
    Experiment {
        name: "opmd_rest_reuse",
        question: "the same where each sample is used four times, up to three versions late",
        config: "named_ops.toml",
        settings: &["algorithm.epochs=4", "rollout.staleness=3"],
        arms: OPMD_AND_REST,
        figures: &["held_out/success", "reward/value_mean", "policy/entropy", "reward/pass_at_k"],
    },
    Experiment {
        name: "sampling",
        question: "which problems are sampled: uniform, curriculum, prioritized",
        config: "named_ops.toml",
        settings: &[
            "task.levels=3",
            "task.problems=2400",
            "task.author_right=0.4",
            "rollout.tokens_max=24",
        ],
        arms: &[
            Arm { name: "uniform", settings: &[] },
            Arm {
                name: "curriculum",
                settings: &[
                    "problems={ strategy = \"curriculum\", switch = 16, difficulty = 0.9, easy_share = 0.2 }",
                ],
            },
            Arm {
                name: "prioritized",
                settings: &["problems={ strategy = \"prioritized\", floor = 0.05 }"],
            },
        ],
        figures: &["held_out/success", "held_out/success_at_1.00", "reward/value_mean"],
    },
    Experiment {
        name: "length",
        question: "the length reward: without, from the start, after a warm-up",
        config: "named_ops.toml",
        settings: &["task.padding=0.5", "rollout.tokens_max=24"],
        arms: &[
            Arm { name: "without", settings: &[] },
            Arm { name: "from-the-start", settings: &["algorithm.length_weight=0.5"] },
            Arm {
                name: "after-20",
                settings: &["algorithm.length_weight=0.5", "algorithm.length_start=20"],
            },
        ],
        figures: &["held_out/success", "held_out/tokens_mean"],
    },
    Experiment {
        name: "partial",
        question: "partial rollouts against whole ones",
        config: "named_ops.toml",
        settings: &["task.padding=0.5", "rollout.tokens_max=24"],
        arms: &[
            Arm { name: "whole", settings: &[] },
            Arm { name: "budget-6", settings: &["rollout.tokens_per_iteration=6"] },
            Arm {
                name: "budget-6-mask-old",
                settings: &["rollout.tokens_per_iteration=6", "rollout.off_policy=mask_old"],
            },
        ],
        figures: &[
            "held_out/success",
            "time/iteration_seconds",
            "rollout/seconds",
            "rollout/tokens",
        ],
    },
    Experiment {
        name: "context",
        question: "longer answers against accuracy: how many intermediate results fit",
        config: "math_chain.toml",
        settings: &[
            "task.operations=3",
            "task.kinds=1",
            "task.problems=2000",
            "task.author_right=0.95",
            "warm_start.steps=1500",
            "warm_start.learning_rate=2e-3",
            "model.family=llama",
            "model.hidden=64",
            "model.intermediate=128",
            "model.layers=2",
            "model.kv_heads=4",
        ],
        arms: &[
            Arm { name: "no-steps", settings: &["task.steps_every=0", "rollout.tokens_max=4"] },
            Arm { name: "every-second", settings: &["task.steps_every=2", "rollout.tokens_max=6"] },
            Arm { name: "every-step", settings: &["task.steps_every=1", "rollout.tokens_max=8"] },
        ],
        figures: &["held_out/success", "held_out/tokens_mean"],
    },
];

impl Experiment {
    /// The settings of an arm, in the order in which they count.
    #[must_use]
    pub fn settings_of(&self, arm: &Arm) -> Vec<String> {
        let all = SHORT.iter().chain(self.settings).chain(arm.settings);
        all.map(|setting| (*setting).to_owned()).collect()
    }
}

/// The experiment of this name.
#[must_use]
pub fn find(name: &str) -> Option<Experiment> {
    EXPERIMENTS.into_iter().find(|experiment| experiment.name == name)
}

/// First and last value of each figure in each arm, mean and confidence interval over seeds, as a
/// table in Markdown.
///
/// # Errors
/// A run that cannot be read.
pub fn table(series: &[Series], figures: &[&str]) -> std::io::Result<String> {
    let mut text = "| arm | seeds |".to_owned();
    let mut rule = "|---|---|".to_owned();
    for figure in figures {
        text.push_str(&format!(" {figure}, first | last |"));
        rule.push_str("---|---|");
    }
    text = format!("{text}\n{rule}\n");
    for one in series {
        let mut row = format!("| {} | {} |", one.name, one.runs.len());
        for figure in figures {
            let curve = curve(one, figure)?;
            let first = curve.first().map(|(_, band)| *band);
            let last = curve.last().map(|(_, band)| *band);
            for band in [first, last] {
                row.push_str(&band.map_or_else(|| " - |".to_owned(), worded));
            }
        }
        text.push_str(&row);
        text.push('\n');
    }
    Ok(text)
}

fn worded(band: Band) -> String {
    format!(" {:.3} ± {:.3} |", band.mean, band.half)
}

/// The plot's file of an experiment in a folder.
#[must_use]
pub fn plot_path(folder: &Path, experiment: &Experiment) -> std::path::PathBuf {
    folder.join(format!("{}.svg", experiment.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;

    #[test]
    fn every_arm_is_a_configuration() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        for experiment in EXPERIMENTS {
            assert!(experiment.arms.len() > 1);
            for arm in experiment.arms {
                let settings = experiment.settings_of(arm);
                let read = RunConfig::read(&configs.join(experiment.config), &settings);
                assert!(read.is_ok(), "{} {}: {read:?}", experiment.name, arm.name);
            }
        }
    }

    #[test]
    fn every_committed_configuration_can_be_read() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let mut read = 0;
        for entry in std::fs::read_dir(configs).unwrap() {
            let path = entry.unwrap().path();
            RunConfig::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
            read += 1;
        }
        assert!(read >= 4, "{read} configurations");
    }

    #[test]
    fn the_configuration_for_a_gpu_has_twenty_five_million_parameters() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let config = RunConfig::read(&configs.join("named_ops_25m.toml"), &[]).unwrap();
        let task = config.task.build();
        let vocabulary = task.tokenizer().unwrap().vocabulary();
        let parameters = config.new_model(vocabulary, 16).unwrap().parameters();
        assert!((24_000_000..28_000_000).contains(&parameters), "{parameters}");
        assert!(task.problems().iter().any(|problem| problem.difficulty == 1.0));
    }
}
