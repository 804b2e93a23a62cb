//! Takes connections, and lets them go when the service stops.
//!
//! Stopping has three parts, each bounded: no new connection and no new request; time for what was
//! admitted; then the slots are closed, so that what has no slot yet is answered as not judged.

use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::tls::{self, TlsError};
use super::{Service, router};
use crate::limits::{CLOSE_TIME_MAX, HANDSHAKE_TIME_MAX};
use crate::slots::Places;

/// How long accepting pauses where the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The service that answers at this moment. Each request is answered by the one that is there when
/// it arrives, on whatever connection.
#[derive(Clone, Debug)]
pub struct Site(Arc<RwLock<Current>>);

#[derive(Clone)]
struct Current {
    service: Arc<Service>,
    router: Router,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Current {
    fn new(service: Service) -> Result<Self, TlsError> {
        let tls = service.config.tls.as_ref().map(tls::acceptor).transpose()?;
        let service = Arc::new(service);
        Ok(Self { router: router(Arc::clone(&service)), service, tls })
    }
}

impl Site {
    /// Where `service` answers.
    ///
    /// # Errors
    /// Its certificate cannot be used.
    pub fn new(service: Service) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Current::new(service)?))))
    }

    /// Lets `service` answer from now on.
    ///
    /// # Errors
    /// Its certificate cannot be used; the service before it goes on.
    pub fn replace(&self, service: Service) -> Result<(), TlsError> {
        let current = Current::new(service)?;
        current.service.take_over();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// The service that answers.
    #[must_use]
    pub fn service(&self) -> Arc<Service> {
        self.current().service
    }

    fn current(&self) -> Current {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves until `stop` is ready, then finishes what was admitted and closes the slots.
pub async fn serve(
    site: Site,
    places: Places,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    accept(&site, &listener, (&graceful, &mut connections), stop).await;
    let service = site.service();
    service.close();
    drop(listener);
    tracing::info!(queued = service.admission.queued(), "stopping: finishing what was admitted");
    let mut drained = pin!(async {
        tokio::join!(graceful.shutdown(), service.admission.emptied());
    });
    let drain = Duration::from_millis(service.config.timeouts.drain_ms);
    if tokio::time::timeout(drain, &mut drained).await.is_err() {
        tracing::warn!(queued = service.admission.queued(), "stopping: the time to finish is over");
    }
    let close = async {
        let sessions = service.close_sessions();
        tokio::join!(places.close(), sessions, drained_or_pending(&mut connections));
    };
    if tokio::time::timeout(CLOSE_TIME_MAX, close).await.is_err() {
        tracing::warn!("stopping: ending what still runs");
        connections.shutdown().await;
        if tokio::time::timeout(CLOSE_TIME_MAX, places.close()).await.is_err() {
            tracing::error!("the slots did not close in time");
        }
    }
}

async fn drained_or_pending(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

async fn accept(
    site: &Site,
    listener: &TcpListener,
    (graceful, connections): (&GracefulShutdown, &mut JoinSet<()>),
    stop: impl Future<Output = ()>,
) {
    let connections_max = site.service().config.admission.connections_max.get();
    let room = Arc::new(Semaphore::new(connections_max));
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
                let (site, watcher) = (site.clone(), graceful.watcher());
                connections.spawn(async move {
                    connect(site, stream, watcher).await;
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

async fn connect(site: Site, stream: TcpStream, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small replies may be delayed");
    }
    let Some(acceptor) = site.current().tls else {
        return answer(site, stream, watcher).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => answer(site, stream, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection did not become a secure one"),
        Err(_) => tracing::debug!("a connection took too long to become a secure one"),
    }
}

/// Answers the requests of a connection.
async fn answer<S>(site: Site, stream: S, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_read = site.service().config.timeouts.header_read_ms;
    let service = service_fn(move |request: Request<Incoming>| {
        TowerToHyperService::new(site.current().router).call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(header_read))
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests;
