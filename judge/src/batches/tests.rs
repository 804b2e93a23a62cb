//! What is kept, for how long, and what goes first.

use std::convert::Infallible;

use super::*;
use crate::admission::Admission;
use crate::batch;
use crate::pipeline::{Caches, Judge};
use crate::slots::scripted::ScriptedSlots;
use crate::task::tests::task;
use crate::telemetry::Metrics;

/// A completion without code is judged without a slot, and at once.
const DONE: &str = r#"{"language":"python","completion":"no code","problem":
    {"kind":"stdio","tests":[{"stdout":"1"}]}}"#;
/// The script is empty, so this runs for ever.
const ENDLESS: &str = r#"{"language":"python","source":"x","problem":
    {"kind":"stdio","tests":[{"stdout":"1"}]}}"#;

#[derive(Debug, PartialEq)]
struct Refused(BatchError);

impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        Self(error)
    }
}

impl From<Infallible> for Refused {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn batches(count_max: usize, bytes_max: usize) -> Batches {
    let tenant_count_max = count_max.div_ceil(2);
    Batches::new(Bounds { count_max, tenant_count_max, bytes_max, keep: Duration::from_secs(60) })
}

fn begin(batches: &Batches, tenant: &str, json: &str) -> Result<Arc<Batch>, Refused> {
    begin_as(batches, tenant, json, None)
}

fn begin_as(
    batches: &Batches,
    tenant: &str,
    json: &str,
    request: Option<Request>,
) -> Result<Arc<Batch>, Refused> {
    batches.begin(&tenant.into(), request, 1, || {
        let metrics = Arc::new(Metrics::new().unwrap());
        let judge = Judge::new(Arc::new(ScriptedSlots::new([])), metrics, Caches::none());
        let ticket = Admission::new(1, 0, 1).admit(1).unwrap();
        Ok(batch::judge(judge, vec![task(json).unwrap()], ticket))
    })
}

fn is_kept(batches: &Batches, tenant: &str, batch: &Batch) -> bool {
    batches.find(tenant, &batch.id).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_forgotten_some_time_after_its_end_and_not_before() {
    let batches = batches(4, 1 << 20);
    let endless = begin(&batches, "a", ENDLESS).unwrap();
    let done = begin(&batches, "a", DONE).unwrap();
    done.events.finished().await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(is_kept(&batches, "a", &done) && !is_kept(&batches, "b", &done));
    assert!(batches.bytes() > 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!is_kept(&batches, "a", &done) && is_kept(&batches, "a", &endless));
    assert_eq!((batches.bytes(), batches.counts()), (0, (1, 0)));
    endless.cancel();
    endless.events.finished().await;
    assert_eq!(endless.events.state(), BatchState::Cancelled);
}

#[tokio::test]
async fn ended_batches_make_place_for_new_ones_and_running_ones_do_not() {
    let batches = batches(4, 1 << 20);
    let oldest = begin(&batches, "a", DONE).unwrap();
    oldest.events.finished().await;
    let running = begin(&batches, "a", ENDLESS).unwrap();
    let third = begin(&batches, "a", ENDLESS).unwrap();
    assert!(!is_kept(&batches, "a", &oldest), "the longest ended one makes place");
    assert_eq!(begin(&batches, "a", DONE).unwrap_err(), Refused(BatchError::Full));
    // Another tenant has its own part.
    begin(&batches, "b", ENDLESS).unwrap();
    begin(&batches, "b", ENDLESS).unwrap();
    assert_eq!(begin(&batches, "c", DONE).unwrap_err(), Refused(BatchError::Full));
    running.cancel();
    running.events.finished().await;
    begin(&batches, "c", DONE).unwrap();
    assert!(!is_kept(&batches, "a", &running) && is_kept(&batches, "a", &third));
}

#[tokio::test]
async fn above_the_bound_of_bytes_outputs_are_left_out_and_rewards_are_not() {
    let batches = batches(4, 1);
    let done = begin(&batches, "a", DONE).unwrap();
    done.events.finished().await;
    let line: SubmissionResult = serde_json::from_slice(&done.events.after(0)[0]).unwrap();
    assert!(line.trimmed && line.valid && line.tests.is_empty());
    assert_eq!(line.reward, Some(0.0));
    let next = begin(&batches, "a", DONE).unwrap();
    next.events.finished().await;
    assert!(!is_kept(&batches, "a", &done), "what has ended goes first");
}

#[tokio::test]
async fn a_key_finds_its_batch_for_as_long_as_it_is_kept() {
    let batches = batches(4, 1 << 20);
    let tenant: Arc<str> = "a".into();
    let request = |digest| Request { key: "k".to_owned(), digest: [digest; 32] };
    let first = begin_as(&batches, "a", ENDLESS, Some(request(1))).unwrap();
    let again = begin_as(&batches, "a", ENDLESS, Some(request(1))).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(batches.known(&tenant, &request(2)).unwrap_err(), BatchError::OtherRequest);
    let other = begin_as(&batches, "a", ENDLESS, Some(request(2)));
    assert_eq!(other.unwrap_err(), Refused(BatchError::OtherRequest));
    assert!(batches.known(&"b".into(), &request(2)).unwrap().is_none());
    first.cancel();
    first.events.finished().await;
    batches.locked().forget(&first.id);
    assert!(batches.known(&tenant, &request(2)).unwrap().is_none());
    assert!(batches.locked().keys.is_empty());
}
