//! Learning curves as SVG: one line for each set of runs, the mean over their seeds, and around it
//! the interval in which the mean lies with 95 % confidence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::metrics;

/// Two-sided 95 % quantiles of Student's distribution by degrees of freedom, from 1.
const STUDENT: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const STUDENT_LATER: f64 = 1.96;

const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Runs that differ in their seed only.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// The folders of its runs.
    pub runs: Vec<PathBuf>,
}

/// Mean and half width of its confidence interval, over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The mean.
    pub mean: f64,
    /// Half of the width; 0 for a single seed.
    pub half: f64,
}

impl Band {
    /// Of some values; there is at least one.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        if values.len() < 2 {
            return Self { mean, half: 0.0 };
        }
        let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (square / (count - 1.0) / count).sqrt();
        let student = STUDENT.get(values.len() - 2).copied().unwrap_or(STUDENT_LATER);
        Self { mean, half: student * error }
    }
}

/// A figure by iteration, over the runs of a series: only iterations that all of them have.
///
/// # Errors
/// A run that cannot be read.
pub fn curve(series: &Series, figure: &str) -> std::io::Result<Vec<(f64, Band)>> {
    let mut values: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for run in &series.runs {
        for (iteration, metrics) in metrics::read(run)? {
            if let Some(value) = metrics.0.get(figure) {
                values.entry(iteration).or_default().push(*value);
            }
        }
    }
    values.retain(|_, values| values.len() == series.runs.len());
    Ok(values.into_iter().map(|(at, values)| (at as f64, Band::of(&values))).collect())
}

/// Draws panels one below the other, each a figure of all series.
///
/// # Errors
/// In a sentence, what cannot be read or drawn.
pub fn draw(series: &[Series], figures: &[&str], out: &Path) -> Result<(), String> {
    let mut shown = BTreeSet::new();
    for run in series.iter().flat_map(|one| &one.runs) {
        let rows = metrics::read(run).map_err(|error| format!("{}: {error}", run.display()))?;
        if rows.is_empty() {
            return Err(format!("{} has no figures: is it the folder of a run?", run.display()));
        }
        shown.extend(rows.into_iter().flat_map(|(_, row)| row.0.into_keys()));
    }
    if let Some(figure) = figures.iter().find(|figure| !shown.contains(**figure)) {
        let names: Vec<String> = shown.into_iter().collect();
        return Err(format!("no run has the figure {figure}; there are: {}", names.join(" ")));
    }
    let height = 300 * u32::try_from(figures.len()).unwrap_or(1);
    let area = SVGBackend::new(out, (760, height)).into_drawing_area();
    area.fill(&WHITE).map_err(worded)?;
    for (panel, figure) in area.split_evenly((figures.len(), 1)).iter().zip(figures) {
        let mut curves = Vec::new();
        for one in series {
            curves.push((one.name.clone(), curve(one, figure).map_err(worded)?));
        }
        draw_panel(panel, figure, &curves)?;
    }
    area.present().map_err(|error| format!("{}: {error}", out.display()))
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_panel(
    panel: &Panel<'_>,
    figure: &str,
    curves: &[(String, Vec<(f64, Band)>)],
) -> Result<(), String> {
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    let last = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let low = points().map(|(_, band)| band.mean - band.half).fold(0.0, f64::min);
    let high = points().map(|(_, band)| band.mean + band.half).fold(1e-9, f64::max);
    let share = figure.contains("success") || figure == "reward/value_mean";
    let (low, high) = if share { (0.0, 1.0) } else { (low, high * 1.05) };
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .caption(figure, ("sans-serif", 16))
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..last, low..high)
        .map_err(worded)?;
    chart.configure_mesh().x_desc("iteration").light_line_style(WHITE).draw().map_err(worded)?;
    for ((name, curve), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let upper = curve.iter().map(|(at, band)| (*at, (band.mean + band.half).min(high)));
        let lower = curve.iter().rev().map(|(at, band)| (*at, (band.mean - band.half).max(low)));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        chart.draw_series(std::iter::once(Polygon::new(band, colour.mix(0.18)))).map_err(worded)?;
        let line = curve.iter().map(|(at, band)| (*at, band.mean));
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)))
            .map_err(worded)?
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::LowerRight)
        .draw()
        .map_err(worded)
}

/// Folders whose names differ only in `seed-N` are one series.
#[must_use]
pub fn by_seed(runs: &[PathBuf]) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for run in runs {
        let file = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = match file.rsplit_once("seed-") {
            Some((name, seed)) if seed.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.trim_end_matches('-').to_owned()
            }
            Some(_) | None => file,
        };
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.runs.push(run.clone()),
            None => all.push(Series { name, runs: vec![run.clone()] }),
        }
    }
    all
}

fn worded(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_joined_and_banded() {
        let runs: Vec<PathBuf> = ["r/opmd-seed-1", "r/opmd-seed-2", "r/rest-seed-1", "r/other"]
            .map(PathBuf::from)
            .into();
        let series = by_seed(&runs);
        let names: Vec<(&str, usize)> =
            series.iter().map(|series| (series.name.as_str(), series.runs.len())).collect();
        assert_eq!(names, [("opmd", 2), ("rest", 1), ("other", 1)]);
        assert_eq!(Band::of(&[0.5]), Band { mean: 0.5, half: 0.0 });
        let band = Band::of(&[1.0, 2.0, 3.0]);
        assert!(
            (band.mean - 2.0).abs() < 1e-12 && (band.half - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9
        );
    }

    #[test]
    fn a_plot_shows_each_series_and_keeps_only_common_iterations() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for (seed, rows) in [(1, 3), (2, 2)] {
            let run = folder.path().join(format!("name-seed-{seed}"));
            std::fs::create_dir(&run).unwrap();
            let lines: String = (0..rows)
                .map(|at| format!("{{\"iteration\":{at},\"held_out/success\":0.{}}}\n", at + seed))
                .collect();
            std::fs::write(run.join("metrics.jsonl"), lines).unwrap();
            runs.push(run);
        }
        let series = by_seed(&runs);
        let curve = curve(&series[0], "held_out/success").unwrap();
        assert_eq!(curve.len(), 2);
        assert!((curve[1].1.mean - 0.25).abs() < 1e-12);
        let out = folder.path().join("plot.svg");
        draw(&series, &["held_out/success"], &out).unwrap();
        let svg = std::fs::read_to_string(out).unwrap();
        assert!(svg.contains("<polygon") && svg.contains("name") && svg.contains("iteration"));
    }
}
