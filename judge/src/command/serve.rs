//! `assay serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use judge::api::{Service, server};
use judge::config::Config;
use judge::telemetry;
use sandbox::preflight::{self, Layer};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::engine::Engine;
use super::{End, Failed, ServeArgs, emit, inspect, ours, usage};

pub(super) async fn serve(args: ServeArgs) -> Result<End, Failed> {
    let config = configure(args)?;
    telemetry::start_log(&config.log).map_err(usage)?;
    let mut signals = Signals::new().map_err(ours)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))
        .map_err(usage)?;
    let address = listener.local_addr().map_err(ours)?;
    let layers = tokio::task::spawn_blocking(preflight::preflight).await.map_err(ours)?;
    let mut engine = tokio::select! {
        engine = Engine::start(&config) => engine?,
        () = signals.next() => return Ok(End::Interrupted),
    };
    engine.ask_versions().await;
    emit(&greeting(address, &config, &engine, &layers))?;
    let Engine { pool, languages, judge, metrics, .. } = engine;
    let testlib = config.read_testlib().map_err(usage)?;
    let service = Service::new(config, languages, judge, metrics)
        .with_testlib(testlib)
        .with_isolation(layers);
    let service = Arc::new(service);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = std::pin::pin!(server::serve(service, pool, listener, async {
        // A sender that is gone means that we are stopping as well.
        stopped.await.unwrap_or_default();
    }));
    tokio::select! {
        () = &mut serving => return Ok(End::Good),
        () = signals.next() => {}
    }
    if stop.send(()).is_err() {
        tracing::debug!("the service had stopped already");
    }
    tokio::select! {
        () = &mut serving => Ok(End::Good),
        () = signals.next() => {
            tracing::warn!("asked to stop twice: ending at once");
            Ok(End::Interrupted)
        }
    }
}

fn configure(args: ServeArgs) -> Result<Config, Failed> {
    let mut config = match &args.config {
        Some(path) => Config::read(path).map_err(usage)?,
        None => Config::default(),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    config.slots = args.slots.unwrap_or(config.slots);
    Ok(config)
}

/// The signals that ask the service to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn greeting(address: SocketAddr, config: &Config, engine: &Engine, layers: &[Layer]) -> String {
    let mut lines = vec![
        format!("Assay {} listens on http://{address}", env!("CARGO_PKG_VERSION")),
        format!("  images     {}", engine.languages.images().collect::<Vec<_>>().join(", ")),
        format!("  slots      {}", config.slots),
        "  isolation".to_owned(),
    ];
    for layer in layers {
        let state = inspect::state_name(layer.state);
        lines.push(format!("    {state:<9} {}: {}", layer.name, layer.detail));
        if !layer.advice.is_empty() {
            lines.push(format!("              {}", layer.advice));
        }
    }
    lines.push("  languages".to_owned());
    for language in engine.languages.describe().languages {
        let detail = language.reason.or(language.version).unwrap_or_default();
        let state = language.images.first().map_or("no", String::as_str);
        lines.push(format!("    {state:<9} {}: {detail}", language.name));
    }
    lines.push(format!("\nTry it:\n{}\n", example(address)));
    lines.join("\n")
}

/// A command that can be pasted into a shell.
fn example(address: SocketAddr) -> String {
    format!(
        r#"  curl -s http://{address}/v1/judge -d '{{"language":"python",
    "source":"print(sum(map(int, input().split())))",
    "problem":{{"kind":"stdio","tests":[{{"stdin":"1 2\n","stdout":"3\n"}}]}}}}'"#
    )
}
