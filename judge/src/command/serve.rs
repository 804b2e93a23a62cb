//! `assay serve`.

use std::net::SocketAddr;

use anyhow::Context as _;
use judge::api::Service;
use judge::api::server::{self, Site};
use judge::config::{Config, ConfigError, environment};
use judge::telemetry;
use sandbox::preflight::{self, Layer, State};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::configuration::variables;
use super::engine::Engine;
use super::{End, Failed, ServeArgs, emit, inspect, ours, usage};

pub(super) async fn serve(args: ServeArgs) -> Result<End, Failed> {
    let config = configure(&args).map_err(usage)?;
    telemetry::start_log(&config.log).map_err(usage)?;
    for name in environment::unknown(variables()) {
        tracing::warn!(name, "a variable of the environment begins like ours and is no key");
    }
    if let Some(warning) = config.exposure() {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::new().map_err(ours)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))
        .map_err(usage)?;
    let address = listener.local_addr().map_err(ours)?;
    let layers = tokio::task::spawn_blocking(preflight::preflight).await.map_err(ours)?;
    if !args.without_missing_layers && !config.wasm_only {
        refuse_missing(&layers)?;
    }
    let mut engine = tokio::select! {
        engine = Engine::start(&config) => engine?,
        () = signals.stop() => return Ok(End::Interrupted),
    };
    engine.ask_versions().await;
    let sessions = engine.sessions(&config).await?;
    emit(&greeting(address, &config, &engine, &layers))?;
    let Engine { places, languages, judge, metrics, .. } = engine;
    let testlib = config.read_testlib().map_err(usage)?;
    let service = Service::new(config, languages, judge, metrics)
        .with_testlib(testlib)
        .with_isolation(layers)
        .with_sessions(sessions);
    let site = Site::new(service).map_err(usage)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = std::pin::pin!(server::serve(site.clone(), places, listener, async {
        // A sender that is gone means that we are stopping as well.
        stopped.await.unwrap_or_default();
    }));
    loop {
        tokio::select! {
            () = &mut serving => return Ok(End::Good),
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => reload(&site, &args),
            }
        }
    }
    if stop.send(()).is_err() {
        tracing::debug!("the service had stopped already");
    }
    tokio::select! {
        () = &mut serving => Ok(End::Good),
        () = signals.stop() => {
            tracing::warn!("asked to stop twice: ending at once");
            Ok(End::Interrupted)
        }
    }
}

/// Whoever serves without a layer must say so.
fn refuse_missing(layers: &[Layer]) -> Result<(), Failed> {
    let missing = layers.iter().filter(|layer| layer.state == State::Off);
    let told = missing
        .map(|layer| format!("\n  {}: {} ({})", layer.name, layer.detail, layer.advice))
        .collect::<String>();
    if told.is_empty() {
        return Ok(());
    }
    Err(usage(anyhow::anyhow!(
        "isolation layers are off; to serve all the same: --without-missing-layers{told}"
    )))
}

fn configure(args: &ServeArgs) -> Result<Config, ConfigError> {
    let mut config = Config::read(args.config.as_deref(), variables())?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.slots = args.slots.unwrap_or(config.slots);
    config.wasm_only |= args.wasm_only;
    Ok(config)
}

/// Reads the configuration again. One that cannot be used changes nothing.
fn reload(site: &Site, args: &ServeArgs) {
    let service = site.service();
    let reloaded = configure(args).map_err(anyhow::Error::new).and_then(|config| {
        let (config, kept) = config.while_running(&service.config);
        if !kept.is_empty() {
            tracing::warn!(keys = kept.join(", "), "these change when the service is restarted");
        }
        Ok(site.replace(service.reconfigured(config))?)
    });
    match reloaded {
        Ok(()) => {
            service.metrics.operation().reloaded("applied");
            tracing::info!("the configuration was read again");
        }
        Err(error) => {
            service.metrics.operation().reloaded("refused");
            tracing::error!("the configuration stays as it was: {error:#}");
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// The signals that ask the service to stop, or to read its configuration again.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

fn greeting(address: SocketAddr, config: &Config, engine: &Engine, layers: &[Layer]) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut lines = vec![
        format!("Assay {} listens on {scheme}://{address}", env!("CARGO_PKG_VERSION")),
        format!("  images     {}", engine.languages.images().collect::<Vec<_>>().join(", ")),
        match config.wasm_only {
            false => format!("  slots      {}", config.slots),
            true => "  slots      none: WebAssembly modules alone are run, in workers".to_owned(),
        },
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
