//! `GET /v1/stats`: what the operator's page shows.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use protocol::{
    ErrorBody, LayerStats, ProcessStats, QueueStats, RecentResponse, SlotStats, StatsResponse,
};
use sandbox::preflight::{self, Layer};

use super::Service;
use super::error::ApiError;
use crate::limits::{PULSE_SECONDS_MAX, RECENT_MAX};
use crate::stats::gathered::Gathered;

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;
/// Units of processor time in a second, as `proc(5)` counts for programs: 100 on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// Says what the service is doing: throughput, latencies, queue, slots, verdicts, caches, reward
/// models, isolation, and the results of the last submissions.
#[utoipa::path(
    get,
    path = "/v1/stats",
    tag = "operation",
    params(
        ("recent" = Option<usize>, Query, description = "How many results; default 50"),
        ("seconds" = Option<u64>, Query, description = "How many seconds; default 120"),
    ),
    responses(
        (status = 200, description = "The figures", body = StatsResponse),
        (status = 400, description = "The query makes no sense", body = ErrorBody),
    )
)]
pub(super) async fn stats(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatsResponse>, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let stats = service.judge.stats();
    let gathered = Gathered::new(service.metrics.registry());
    let slots = service.judge.slots().status();
    Ok(Json(StatsResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: stats.uptime().as_secs_f64(),
        queue: QueueStats {
            submissions: service.admission.queued(),
            submissions_max: service.config.admission.queue_submissions_max.get(),
            refused: gathered.counter("assay_queue_refused_total"),
        },
        slots: SlotStats {
            slots: slots.slots,
            leased: slots.leased,
            standing: slots.standing,
            building: slots.building,
            rebuilt: slots.rebuilt,
        },
        throughput: stats.pulse.describe(Instant::now(), query.seconds),
        stages: gathered.stages("assay_stage_duration_seconds"),
        verdicts: gathered.by_label("assay_verdicts_total", "verdict"),
        failures: gathered.by_label("assay_failures_total", "kind"),
        caches: gathered.caches("assay_cache_lookups_total", "assay_cache_bytes"),
        judges: gathered.judges(),
        isolation: service.isolation().iter().map(layer).collect(),
        process: process(),
        recent: stats.recent.list(query.recent),
    }))
}

/// Tells one of the last results whole, as far as the feedback that its sender asked for allows.
#[utoipa::path(
    get,
    path = "/v1/stats/recent/{number}",
    tag = "operation",
    params(("number" = u64, Path, description = "As in the list")),
    responses(
        (status = 200, description = "The result", body = RecentResponse),
        (status = 404, description = "It is not kept any more, or never was", body = ErrorBody),
    )
)]
pub(super) async fn recent(
    State(service): State<Arc<Service>>,
    Path(number): Path<String>,
) -> Result<Json<RecentResponse>, ApiError> {
    let found = number.parse().ok().and_then(|number| service.judge.stats().recent.find(number));
    found.map(Json).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no recent result {number}"),
            format!("GET /v1/stats lists them; the last {RECENT_MAX} are kept at most"),
        )
    })
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Query {
    recent: usize,
    seconds: u64,
}

impl Query {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self { recent: 50, seconds: 120 };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number: u64 = value.parse().map_err(|_| wrong(pair))?;
            match name {
                "recent" => {
                    query.recent =
                        usize::try_from(number).map_or(RECENT_MAX, |n| n.min(RECENT_MAX));
                }
                "seconds" => query.seconds = number.min(PULSE_SECONDS_MAX),
                _ => return Err(wrong(pair)),
            }
        }
        Ok(query)
    }
}

fn wrong(pair: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_query",
        format!("{pair:?} is not understood"),
        "the query has `recent` and `seconds`, each a whole number",
    )
}

fn layer(layer: &Layer) -> LayerStats {
    let state = match layer.state {
        preflight::State::On => "on",
        preflight::State::Degraded => "degraded",
        preflight::State::Off => "off",
    };
    LayerStats {
        name: layer.name.to_owned(),
        state: state.to_owned(),
        detail: layer.detail.clone(),
        advice: layer.advice.clone(),
    }
}

/// What this process uses: `proc_pid_statm(5)`, `proc_pid_stat(5)`, `proc_pid_fd(5)`.
fn process() -> ProcessStats {
    let memory_bytes = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .map(|pages| pages * PAGE_BYTES);
    let descriptors = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64);
    let cpu_seconds = fs::read_to_string("/proc/self/stat").ok().and_then(|text| {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        Some(f64::from(user + system) / TICKS_A_SECOND)
    });
    ProcessStats { memory_bytes, descriptors, cpu_seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_within_its_bounds() {
        let parse = |text: &str| Query::parse(text).map(|query| (query.recent, query.seconds)).ok();
        assert_eq!(parse(""), Some((50, 120)));
        assert_eq!(parse("recent=0&seconds=9999999"), Some((0, PULSE_SECONDS_MAX)));
        assert_eq!(parse("recent=99999999999"), Some((RECENT_MAX, 120)));
        for wrong in ["recent", "recent=x", "recent=-1", "colour=1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_process_is_measured() {
        let process = process();
        assert!(process.memory_bytes.unwrap() > 1 << 20);
        assert!(process.descriptors.unwrap() > 2);
    }
}
