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

const HARD: &[&str] = &[
    "task.levels=3",
    "task.problems=2400",
    "task.author_right=0.4",
    "rollout.tokens_max=24",
    "iterations=60",
    "evaluation.every=5",
    "checkpoint.every=0",
];

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "opmd_rest",
        question: "mirror descent against self-training on the same number of samples",
        config: "named_ops.toml",
        settings: HARD,
        arms: &[
            Arm { name: "opmd", settings: &[] },
            Arm { name: "rest-positives", settings: &["algorithm.name=rest"] },
            Arm { name: "rest-best", settings: &["algorithm.name=rest", "algorithm.keep=best"] },
        ],
        figures: &["held_out/success", "reward/value_mean", "policy/entropy"],
    },
    Experiment {
        name: "sampling",
        question: "which problems are sampled: uniform, curriculum, prioritized",
        config: "named_ops.toml",
        settings: HARD,
        arms: &[
            Arm { name: "uniform", settings: &[] },
            Arm {
                name: "curriculum",
                settings: &[
                    "problems={ strategy = \"curriculum\", switch = 24, difficulty = 0.9, easy_share = 0.2 }",
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
        settings: &[
            "task.padding=0.5",
            "rollout.tokens_max=24",
            "iterations=60",
            "evaluation.every=5",
            "checkpoint.every=0",
        ],
        arms: &[
            Arm { name: "without", settings: &[] },
            Arm { name: "from-the-start", settings: &["algorithm.length_weight=0.5"] },
            Arm {
                name: "after-30",
                settings: &["algorithm.length_weight=0.5", "algorithm.length_start=30"],
            },
        ],
        figures: &["held_out/success", "held_out/tokens_mean"],
    },
    Experiment {
        name: "partial",
        question: "partial rollouts against whole ones",
        config: "math_chain.toml",
        settings: &["iterations=60", "evaluation.every=5", "checkpoint.every=0"],
        arms: &[
            Arm { name: "whole", settings: &[] },
            Arm { name: "budget-6", settings: &["rollout.tokens_per_iteration=6"] },
            Arm {
                name: "budget-6-mask-old",
                settings: &["rollout.tokens_per_iteration=6", "rollout.off_policy=mask_old"],
            },
        ],
        figures: &["held_out/success", "time/iteration_seconds", "rollout/tokens"],
    },
    Experiment {
        name: "context",
        question: "longer answers against accuracy: how many intermediate results fit",
        config: "math_chain.toml",
        settings: &["iterations=60", "evaluation.every=5", "checkpoint.every=0"],
        arms: &[
            Arm { name: "no-steps", settings: &["task.steps_every=0", "rollout.tokens_max=4"] },
            Arm { name: "every-second", settings: &["task.steps_every=2", "rollout.tokens_max=6"] },
            Arm { name: "every-step", settings: &["task.steps_every=1", "rollout.tokens_max=12"] },
        ],
        figures: &["held_out/success", "held_out/tokens_mean"],
    },
];

/// The experiment of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
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
                let settings: Vec<String> = experiment
                    .settings
                    .iter()
                    .chain(arm.settings)
                    .map(|setting| (*setting).to_owned())
                    .collect();
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
        assert!(read >= 3, "{read} configurations");
    }
}
