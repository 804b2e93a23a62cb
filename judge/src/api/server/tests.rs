//! Connections over TLS, without slots.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::{Config, TlsConfig};
use crate::language::Languages;
use crate::pipeline::{Caches, Judge};
use crate::slots::scripted::ScriptedSlots;
use crate::telemetry::Metrics;

/// A certificate for localhost that nobody trusts but these tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls")
}

fn site() -> Site {
    let (cert, key) = (folder().join("cert.pem"), folder().join("key.pem"));
    let config = Config { tls: Some(TlsConfig { cert, key }), ..Config::default() };
    let metrics = Arc::new(Metrics::new().unwrap());
    let slots = Arc::new(ScriptedSlots::new([]));
    let judge = Judge::new(slots, Arc::clone(&metrics), Caches::none());
    let languages = Languages::resolve(|_| true).unwrap();
    Site::new(Service::new(config, languages, judge, metrics)).unwrap()
}

fn connector() -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder().join("cert.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Accepts one connection, and gives the other end of it.
async fn connected(site: &Site) -> (TcpStream, GracefulShutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let graceful = GracefulShutdown::new();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    tokio::spawn(connect(site.clone(), stream, graceful.watcher()));
    (client, graceful)
}

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_over_tls_and_a_stop_waits_for_none_that_is_over() {
    let (client, graceful) = connected(&site()).await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut secure = connector().connect(name, client).await.unwrap();
    secure.write_all(REQUEST).await.unwrap();
    let mut reply = String::new();
    secure.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("ok\n"), "{reply}");
    graceful.shutdown().await;
}

#[tokio::test]
async fn plain_text_gets_no_answer_where_tls_is_configured() {
    let (mut client, graceful) = connected(&site()).await;
    client.write_all(REQUEST).await.unwrap();
    let mut reply = Vec::new();
    // Whether the connection is closed or reset depends on what the peer had read.
    client.read_to_end(&mut reply).await.ok();
    assert!(!reply.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&reply));
    graceful.shutdown().await;
}
