//! What a person sees while a run goes on: a panel that is drawn anew on a terminal, a line for each
//! iteration elsewhere. Whoever looked may go away: that ends no run.

use std::io::{IsTerminal as _, Write as _};

use crate::config::RunConfig;
use crate::metrics::Metrics;

/// The view of one run.
#[derive(Debug)]
pub struct View {
    iterations: u64,
    terminal: bool,
    /// Lines of the panel that stands on the terminal.
    drawn: usize,
    held_out: Vec<f64>,
}

impl View {
    /// A view on standard output.
    #[must_use]
    pub fn new(config: &RunConfig) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { iterations: config.iterations, terminal, drawn: 0, held_out: Vec::new() }
    }

    /// Prints a line.
    pub fn say(&mut self, line: &str) {
        self.drawn = 0;
        print(line);
    }

    /// Shows an iteration.
    pub fn show(&mut self, iteration: u64, metrics: &Metrics) {
        if metrics.0.contains_key("held_out/success") {
            self.held_out.push(metrics.value("held_out/success"));
        }
        let lines = self.lines(iteration, metrics);
        if !self.terminal {
            print(&lines.join(" | "));
            return;
        }
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        let body: String = lines.iter().map(|line| format!("\x1b[2K{line}\n")).collect();
        let mut out = std::io::stdout();
        drop(write!(out, "{up}{body}").and_then(|()| out.flush()));
        self.drawn = lines.len();
    }

    fn lines(&self, iteration: u64, metrics: &Metrics) -> Vec<String> {
        let value = |name: &str| metrics.value(name);
        let held_out = self.held_out.last().copied().unwrap_or(0.0);
        let percent = |name: &str| 100.0 * value(name);
        // The evaluation before the first iteration is in none.
        let whole = value("time/iteration_seconds").max(value("time/evaluation_seconds")).max(1e-9);
        let part = |name: &str| 100.0 * value(name) / whole;
        vec![
            format!(
                "iteration {iteration:>4}/{}  reward {:.3}  held-out {held_out:.3} {}",
                self.iterations,
                value("reward/value_mean"),
                spark(&self.held_out),
            ),
            format!(
                "length {:.1}  entropy {:.3}  rho2 {:.4}  groups all 0: {:.0} % all 1: {:.0} %  invalid {}",
                value("length/tokens_mean"),
                value("policy/entropy"),
                value("policy/log_ratio_square"),
                percent("reward/groups_all_0"),
                percent("reward/groups_all_1"),
                value("reward/invalid"),
            ),
            format!(
                "staleness {:.1} (max {})  first token after {:.2} s  sampling {:.0} tok/s  judge {:.0} ms  programs {}",
                value("staleness/versions_mean"),
                value("staleness/versions_max"),
                value("weights/first_token_seconds"),
                value("rollout/tokens_per_second"),
                value("judge/latency_ms_mean"),
                value("judge/programs"),
            ),
            format!(
                "{:.2} s: update {:.0} %, waiting {:.0} % (for rewards {:.0} %), evaluation {:.0} %; {:.0} s in all",
                value("time/iteration_seconds"),
                part("time/update_seconds"),
                part("time/wait_seconds"),
                percent("time/idle_for_reward_share"),
                part("time/evaluation_seconds"),
                value("time/since_start_seconds"),
            ),
        ]
    }
}

/// Prints a line, if anybody still reads.
pub fn print(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Values from 0 to 1 as a row of bars.
fn spark(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |value: &f64| {
        let at = (1..BARS.len()).filter(|at| *value * 8.0 >= *at as f64).count();
        BARS[at]
    };
    values.iter().rev().take(40).rev().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_shows_everything_that_is_asked_of_a_run() {
        let view = View { iterations: 9, terminal: false, drawn: 0, held_out: vec![0.25] };
        let mut metrics = Metrics::default();
        let shown = [
            ("reward/value_mean", 0.125, "reward 0.125"),
            ("length/tokens_mean", 7.5, "length 7.5"),
            ("policy/entropy", 0.375, "entropy 0.375"),
            ("staleness/versions_mean", 1.5, "staleness 1.5"),
            ("weights/first_token_seconds", 0.25, "first token after 0.25 s"),
            ("rollout/tokens_per_second", 4321.0, "4321 tok/s"),
            ("judge/latency_ms_mean", 37.0, "judge 37 ms"),
            ("reward/invalid", 3.0, "invalid 3"),
            ("time/iteration_seconds", 2.0, "2.00 s: "),
            ("time/update_seconds", 0.5, "update 25 %"),
            ("time/wait_seconds", 1.0, "waiting 50 %"),
            ("time/idle_for_reward_share", 0.05, "for rewards 5 %"),
        ];
        for (name, value, _) in shown {
            metrics.set(name, value);
        }
        let lines = view.lines(4, &metrics).join("\n");
        assert!(lines.contains("iteration    4/9") && lines.contains("held-out 0.250"), "{lines}");
        for (_, _, text) in shown {
            assert!(lines.contains(text), "{text} is not in\n{lines}");
        }
    }
}
