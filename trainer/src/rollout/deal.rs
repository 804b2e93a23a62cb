//! Deals requests out to samplers elsewhere, and again to others what one of them did not finish. Knows
//! nothing of what samplers are, or how they are asked.

use std::collections::BTreeMap;
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

/// Who is dealt to, and how it is cut.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) runtime: &'a tokio::runtime::Runtime,
    /// How many samplers there are.
    pub(super) samplers: usize,
    /// Parts that are asked whole, and asked whole again; 0: what is open is cut anew at each attempt.
    pub(super) parts: usize,
}

/// A thread that talks to samplers.
pub(super) fn runtime(name: &str) -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(worded)
}

/// Cuts so many places into at most so many parts, each of the same size but for the last.
pub(super) fn cut(places: &[usize], parts: usize) -> impl Iterator<Item = &[usize]> {
    places.chunks(places.len().div_ceil(parts.max(1)).max(1))
}

/// Deals out until each request has ended, once. `ask` begins to ask one sampler for its parts, one
/// after the other, and returns at once; what it says is over when its sender is dropped.
///
/// # Errors
/// In a sentence, what was said last, where too many attempts left something open.
pub(super) fn deal(
    table: &Table<'_>,
    requests: &[SampleRequest],
    ask: &dyn Fn(usize, Vec<Part>, Sender<Line>),
    hear: &mut dyn FnMut(Heard),
) -> Result<(), String> {
    let all: Vec<usize> = (0..requests.len()).collect();
    let mut ended = vec![false; requests.len()];
    let mut reason = String::new();
    for attempt in 0..WORKER_ATTEMPTS_MAX {
        if ended.iter().all(|ended| *ended) {
            return Ok(());
        }
        if attempt > 0 {
            table.runtime.block_on(async { tokio::time::sleep(PAUSE * attempt).await });
        }
        let (lines, received) = mpsc::channel();
        for (sampler, parts) in table.shares(&all, &ended, attempt as usize) {
            let part = |places: Vec<usize>| -> Part {
                places.into_iter().map(|at| (at, requests[at].clone())).collect()
            };
            ask(sampler, parts.into_iter().map(part).collect(), lines.clone());
        }
        drop(lines);
        for line in received {
            match line {
                // One that answers twice, or what was not asked, is heard of once.
                Ok(Heard::Ended(at, sampled)) if ended.get(at) == Some(&false) => {
                    ended[at] = true;
                    hear(Heard::Ended(at, sampled));
                }
                Ok(Heard::Ended(..)) => {}
                Ok(other) => hear(other),
                Err(why) => reason = why,
            }
        }
    }
    let count = ended.iter().filter(|ended| !**ended).count();
    if count == 0 {
        return Ok(());
    }
    Err(format!("{count} sequences, {WORKER_ATTEMPTS_MAX} attempts: {reason}"))
}

impl Table<'_> {
    /// Samplers, and the parts that each is asked for. Turned by one at each attempt, so that what one
    /// cannot do another tries.
    fn shares(
        &self,
        all: &[usize],
        ended: &[bool],
        attempt: usize,
    ) -> BTreeMap<usize, Vec<Vec<usize>>> {
        let open: Vec<usize> = all.iter().copied().filter(|at| !ended[*at]).collect();
        let parts: Vec<(usize, &[usize])> = if self.parts == 0 {
            cut(&open, self.samplers).enumerate().collect()
        } else {
            let unfinished = |(_, part): &(usize, &[usize])| part.iter().any(|at| !ended[*at]);
            cut(all, self.parts).enumerate().filter(unfinished).collect()
        };
        let mut shares: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
        for (number, part) in parts {
            shares.entry((number + attempt) % self.samplers).or_default().push(part.to_vec());
        }
        shares
    }
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

    /// Who was asked for which parts, and what ended in which order.
    type Seen = (Vec<(usize, Vec<Vec<usize>>)>, Vec<usize>, Result<(), String>);

    fn seen(
        (samplers, parts): (usize, usize),
        script: impl Fn(usize, &[usize]) -> Vec<Line>,
    ) -> Seen {
        let runtime = &runtime("test").unwrap();
        let (asked, mut heard) = (RefCell::new(Vec::new()), Vec::new());
        let ask = |sampler, parts: Vec<Part>, lines: Sender<Line>| {
            let places = |part: &Part| part.iter().map(|(at, _)| *at).collect();
            let places: Vec<Vec<usize>> = parts.iter().map(places).collect();
            for line in script(sampler, &places.concat()) {
                lines.send(line).unwrap();
            }
            asked.borrow_mut().push((sampler, places));
        };
        let table = Table { runtime, samplers, parts };
        let result = deal(&table, &requests(5), &ask, &mut |line| {
            if let Heard::Ended(at, _) = line {
                heard.push(at);
            }
        });
        (asked.into_inner(), heard, result)
    }

    #[test]
    fn what_one_did_not_finish_another_is_asked_for() {
        // The second sampler never finishes anything; the first finishes all.
        let (asked, mut heard, result) = seen((2, 0), |sampler, places| {
            if sampler == 1 {
                return vec![Err("tired".to_owned())];
            }
            places.iter().map(|at| ended(*at)).collect()
        });
        assert_eq!(result, Ok(()));
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2, 3, 4]);
        // The second attempt begins with the other one: what is left is halved until it fits.
        let once = |sampler, places: &[usize]| (sampler, vec![places.to_vec()]);
        assert_eq!(asked[..2], [once(0, &[0, 1, 2]), once(1, &[3, 4])]);
        assert_eq!(asked[2..4], [once(0, &[4]), once(1, &[3])]);
        assert_eq!(asked[4..], [once(0, &[3])]);
    }

    #[test]
    fn a_part_that_is_to_stay_whole_is_asked_whole_again_of_another() {
        // The second sampler ends the first of what it is asked for, and says no more.
        let (asked, mut heard, result) = seen((2, 3), |sampler, places| {
            let many = if sampler == 1 { 1 } else { places.len() };
            places[..many].iter().map(|at| ended(*at)).collect()
        });
        assert_eq!(result, Ok(()));
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2, 3, 4], "each is heard of once");
        assert_eq!(asked[..2], [(0, vec![vec![0, 1], vec![4]]), (1, vec![vec![2, 3]])]);
        assert_eq!(asked[2..], [(0, vec![vec![2, 3]])]);
    }

    #[test]
    fn one_that_answers_twice_or_what_was_not_asked_is_heard_of_once() {
        let (_, heard, result) = seen((1, 0), |_, places| {
            let twice = places.iter().chain(places).map(|at| ended(*at));
            twice.chain([ended(99)]).collect()
        });
        assert_eq!((result, heard), (Ok(()), vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn what_nobody_finishes_ends_with_the_last_reason() {
        let (asked, heard, result) = seen((1, 0), |_, _| vec![Err("gone".to_owned())]);
        assert_eq!(asked.len(), WORKER_ATTEMPTS_MAX as usize);
        assert!(heard.is_empty());
        assert_eq!(result, Err("5 sequences, 8 attempts: gone".to_owned()));
    }
}
