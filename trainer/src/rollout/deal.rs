//! Deals requests out to samplers elsewhere, and again to others what one of them did not finish. Knows
//! nothing of what samplers are, or how they are asked.

use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use super::http::worded;
use super::sampler::{Heard, SampleRequest};
use crate::limits::WORKER_ATTEMPTS_MAX;

/// How long everybody is left alone after a first attempt; longer after each.
const PAUSE: Duration = Duration::from_millis(250);

/// What a sampler says: what came of its part, or why there is no more to come.
pub(super) type Line = Result<Heard, String>;

/// Requests by their places in the whole.
pub(super) type Part = Vec<(usize, SampleRequest)>;

/// A thread that talks to samplers.
pub(super) fn runtime(name: &str) -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(worded)
}

/// Deals out to so many samplers until each request has ended, once. `ask` begins to ask one of them
/// for its part and returns at once; what it says is over when its sender is dropped.
///
/// # Errors
/// In a sentence, what was said last, where too many attempts left something open.
pub(super) fn deal(
    runtime: &tokio::runtime::Runtime,
    samplers: usize,
    requests: &[SampleRequest],
    ask: &dyn Fn(usize, Part, Sender<Line>),
    hear: &mut dyn FnMut(Heard),
) -> Result<(), String> {
    let mut open: Vec<usize> = (0..requests.len()).collect();
    let mut reason = String::new();
    for attempt in 0..WORKER_ATTEMPTS_MAX {
        if open.is_empty() {
            return Ok(());
        }
        if attempt > 0 {
            runtime.block_on(async { tokio::time::sleep(PAUSE * attempt).await });
        }
        let (lines, received) = mpsc::channel();
        let share = open.len().div_ceil(samplers);
        // Turned by one at each attempt, so that what one cannot do another tries.
        let turned = (0..samplers).cycle().skip(attempt as usize);
        for (places, sampler) in open.chunks(share).zip(turned) {
            let part = places.iter().map(|at| (*at, requests[*at].clone())).collect();
            ask(sampler, part, lines.clone());
        }
        drop(lines);
        let mut ended = vec![false; requests.len()];
        for line in received {
            match line {
                // One that answers twice, or what was not asked, is heard of once.
                Ok(Heard::Ended(at, sampled)) if open.contains(&at) && !ended[at] => {
                    ended[at] = true;
                    hear(Heard::Ended(at, sampled));
                }
                Ok(Heard::Ended(..)) => {}
                Ok(other) => hear(other),
                Err(why) => reason = why,
            }
        }
        open.retain(|at| !ended[*at]);
    }
    if open.is_empty() {
        return Ok(());
    }
    let count = open.len();
    Err(format!("{count} sequences, {WORKER_ATTEMPTS_MAX} attempts: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::rollout::Finish;
    use crate::rollout::sampler::Sampled;

    fn requests(count: u64) -> Vec<SampleRequest> {
        let request = |at| SampleRequest {
            key: [at, 0],
            prompt: vec![2],
            prefix: Vec::new(),
            budget: 1,
            tokens_max: 1,
        };
        (0..count).map(request).collect()
    }

    fn ended(at: usize) -> Line {
        let sampled = Sampled { tokens: vec![3], logprobs: vec![-0.5], finish: Finish::Length };
        Ok(Heard::Ended(at, sampled))
    }

    /// Who was asked for what, and what ended in which order.
    type Seen = (Vec<(usize, Vec<usize>)>, Vec<usize>, Result<(), String>);

    fn seen(samplers: usize, script: impl Fn(usize, &[usize]) -> Vec<Line>) -> Seen {
        let runtime = runtime("test").unwrap();
        let (asked, mut heard) = (RefCell::new(Vec::new()), Vec::new());
        let ask = |sampler, part: Part, lines: Sender<Line>| {
            let places: Vec<usize> = part.iter().map(|(at, _)| *at).collect();
            for line in script(sampler, &places) {
                lines.send(line).unwrap();
            }
            asked.borrow_mut().push((sampler, places));
        };
        let result = deal(&runtime, samplers, &requests(5), &ask, &mut |line| {
            if let Heard::Ended(at, _) = line {
                heard.push(at);
            }
        });
        (asked.into_inner(), heard, result)
    }

    #[test]
    fn what_one_did_not_finish_another_is_asked_for() {
        // The second sampler never finishes anything; the first finishes all.
        let (asked, mut heard, result) = seen(2, |sampler, places| {
            if sampler == 1 {
                return vec![Err("tired".to_owned())];
            }
            places.iter().map(|at| ended(*at)).collect()
        });
        assert_eq!(result, Ok(()));
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2, 3, 4]);
        // The second attempt begins with the other one: what is left is halved until it fits.
        assert_eq!(asked[..2], [(0, vec![0, 1, 2]), (1, vec![3, 4])]);
        assert_eq!(asked[2..4], [(1, vec![3]), (0, vec![4])]);
        assert_eq!(asked[4..], [(0, vec![3])]);
    }

    #[test]
    fn one_that_answers_twice_or_what_was_not_asked_is_heard_of_once() {
        let (_, heard, result) = seen(1, |_, places| {
            let twice = places.iter().chain(places).map(|at| ended(*at));
            twice.chain([ended(99)]).collect()
        });
        assert_eq!((result, heard), (Ok(()), vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn what_nobody_finishes_ends_with_the_last_reason() {
        let (asked, heard, result) = seen(1, |_, _| vec![Err("gone".to_owned())]);
        assert_eq!(asked.len(), WORKER_ATTEMPTS_MAX as usize);
        assert!(heard.is_empty());
        assert_eq!(result, Err("5 sequences, 8 attempts: gone".to_owned()));
    }
}
