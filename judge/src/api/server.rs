//! Takes connections, and lets them go when the service stops.
//!
//! Stopping has three parts, each bounded: no new connection and no new request; time for what was
//! admitted; then the pool is closed, so that what has no slot yet is answered as not judged.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use sandbox::SlotPool;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Service, router};
use crate::limits::CLOSE_TIME_MAX;

/// How long accepting pauses where the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, then finishes what was admitted and closes the pool.
pub async fn serve(
    service: Arc<Service>,
    pool: SlotPool,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    accept(&service, &listener, (&graceful, &mut connections), stop).await;
    service.close();
    drop(listener);
    tracing::info!(queued = service.admission.queued(), "stopping: finishing what was admitted");
    let mut drained = pin!(graceful.shutdown());
    let drain = Duration::from_millis(service.config.timeouts.drain_ms);
    if tokio::time::timeout(drain, &mut drained).await.is_err() {
        tracing::warn!(queued = service.admission.queued(), "stopping: the time to finish is over");
    }
    let close = async {
        tokio::join!(pool.close(), drained_or_pending(&mut connections));
    };
    if tokio::time::timeout(CLOSE_TIME_MAX, close).await.is_err() {
        tracing::warn!("stopping: ending what still runs");
        connections.shutdown().await;
        if tokio::time::timeout(CLOSE_TIME_MAX, pool.close()).await.is_err() {
            tracing::error!("the pool did not close in time");
        }
    }
}

async fn drained_or_pending(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

async fn accept(
    service: &Arc<Service>,
    listener: &TcpListener,
    (graceful, connections): (&GracefulShutdown, &mut JoinSet<()>),
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(service.config.admission.connections_max.get()));
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => return,
            next = next => next,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(service, stream));
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// A refused connection is the client's affair; without descriptors it takes time.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn connection(
    service: &Arc<Service>,
    stream: TcpStream,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small replies may be delayed");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(service.config.timeouts.header_read_ms))
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(router(Arc::clone(service))),
        )
}
