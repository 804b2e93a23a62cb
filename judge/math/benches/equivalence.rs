//! Speed of comparisons on the committed pairs, in both directions, and on pairs of
//! neighbours that do not belong together. Prints one JSON line.
#![expect(clippy::print_stdout, reason = "the line is the result")]

use std::time::{Duration, Instant};

const FILES: [&str; 2] =
    [include_str!("../tests/tricky_pairs.jsonl"), include_str!("../tests/pairs.jsonl")];

fn main() {
    let policy = math::Policy::default();
    let pairs = mixed_pairs();
    for (reference, answer) in &pairs {
        std::hint::black_box(math::compare(reference, answer, &policy));
    }
    let mut times: Vec<(Duration, usize)> = Vec::with_capacity(pairs.len());
    let start = Instant::now();
    for (index, (reference, answer)) in pairs.iter().enumerate() {
        std::hint::black_box((index, math::compare(reference, answer, &policy)));
    }
    let total = start.elapsed();
    for (index, (reference, answer)) in pairs.iter().enumerate() {
        // The best of five is the work itself; the rest is waiting for a core.
        let once = |_| {
            let before = Instant::now();
            std::hint::black_box(math::compare(reference, answer, &policy));
            before.elapsed()
        };
        times.push(((0..5).map(once).min().unwrap_or_default(), index));
    }
    times.sort();
    let at = |thousandths: usize| micros(times[(times.len() - 1) * thousandths / 1000].0);
    let slowest: Vec<String> = times
        .iter()
        .rev()
        .take(5)
        .map(|(time, index)| {
            format!("{:.0}us {} | {}", micros(*time), pairs[*index].0, pairs[*index].1)
        })
        .collect();
    let line = serde_json::json!({
        "bench": "math_equivalence",
        "pairs": pairs.len(),
        "best_of": 5,
        "median_us": at(500),
        "p90_us": at(900),
        "p99_us": at(990),
        "max_us": at(1000),
        "mean_us": micros(total) / pairs.len() as f64,
        "checks_per_second": pairs.len() as f64 / total.as_secs_f64(),
        "slowest": slowest,
    });
    println!("{line}");
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn mixed_pairs() -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for line in FILES.iter().flat_map(|file| file.lines()) {
        let pair: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let field = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        pairs.push((field("gold"), field("pred")));
    }
    let reversed: Vec<_> = pairs.iter().map(|(a, b)| (b.clone(), a.clone())).collect();
    let strangers: Vec<_> =
        pairs.windows(2).map(|two| (two[0].0.clone(), two[1].1.clone())).collect();
    pairs.extend(reversed);
    pairs.extend(strangers);
    pairs
}
