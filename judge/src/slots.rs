//! The seam to the sandbox: a place to run programs. The one thing that tests may fake.
//!
//! Programs run as processes in slots, modules in workers of the WebAssembly runtime: the same spec
//! goes in, the same outcome comes out, and who asks says only where ([`Place`]).
//!
//! [`FairSlots`] stands before both: who comes next is decided by [`crate::schedule`], and only as
//! many ask as there are slots.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use protocol::Priority;
use sandbox::spec::{InputFile, Streams};
use sandbox::{Error, Image, Lease, Outcome, PoolStatus, RunSpec, SlotPool, WasmLease, WasmPool};

use crate::schedule::{Flow, Grant, Scheduler};
use crate::telemetry::Metrics;

/// What runs programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Processes in slots.
    #[default]
    Process,
    /// WebAssembly modules in workers.
    Wasm,
}

impl Runtime {
    /// On the wire.
    #[must_use]
    pub fn to_wire(self) -> protocol::Runtime {
        match self {
            Self::Process => protocol::Runtime::Process,
            Self::Wasm => protocol::Runtime::Wasm,
        }
    }
}

/// Where a program runs.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In a slot that shows this image, or what slots show by default.
    Slot(Option<&'a Image>),
    /// In a worker of the WebAssembly runtime.
    Wasm,
}

impl<'a> Place<'a> {
    /// Where programs of a runtime run; images are for slots only.
    #[must_use]
    pub fn of(runtime: Runtime, image: Option<&'a Image>) -> Self {
        match runtime {
            Runtime::Process => Self::Slot(image),
            Runtime::Wasm => Self::Wasm,
        }
    }
}

impl<'a> From<Option<&'a Image>> for Place<'a> {
    fn from(image: Option<&'a Image>) -> Self {
        Self::Slot(image)
    }
}

/// A fixed number of slots.
pub trait Slots: Send + Sync + std::fmt::Debug {
    /// Waits for a free slot or worker; first come, first served.
    fn lease<'a>(&'a self, place: Place<'a>) -> BoxFuture<'a, Result<Box<dyn SlotLease>, Error>>;
    /// Waits for two at once.
    fn lease_pair<'a>(
        &'a self,
        places: [Place<'a>; 2],
    ) -> BoxFuture<'a, Result<[Box<dyn SlotLease>; 2], Error>>;
    /// What the slots are doing.
    fn status(&self) -> PoolStatus;
    /// The same slots, on behalf of `flow`; `None` where whoever comes first is served first.
    fn on_behalf(&self, _flow: &Flow) -> Option<Arc<dyn Slots>> {
        None
    }
}

/// The right to use one slot until dropped.
pub trait SlotLease: Send + Sync {
    /// Puts files where programs can read and not write them, for all runs of the lease.
    fn install<'a>(&'a mut self, files: &'a [InputFile]) -> BoxFuture<'a, Result<(), Error>>;
    /// Runs one program to its end; dropping the future kills it.
    fn run<'a>(&'a mut self, spec: &'a RunSpec) -> BoxFuture<'a, Result<Outcome, Error>>;
    /// The same, with standard streams that lead elsewhere.
    fn run_with<'a>(
        &'a mut self,
        spec: &'a RunSpec,
        streams: Streams,
    ) -> BoxFuture<'a, Result<Outcome, Error>>;
}

/// The places that a service has.
#[derive(Clone, Debug)]
pub struct Places {
    /// `None`: this service runs modules alone.
    pub slots: Option<SlotPool>,
    /// Workers for modules.
    pub wasm: WasmPool,
}

impl Places {
    fn pool(&self) -> Result<&SlotPool, Error> {
        let reason = "the service was started to run WebAssembly modules alone";
        self.slots.as_ref().ok_or_else(|| Error::Unfit { reason: reason.to_owned() })
    }

    async fn slot(&self, image: Option<&Image>) -> Result<Box<dyn SlotLease>, Error> {
        let pool = self.pool()?;
        Ok(Box::new(match image {
            Some(image) => pool.lease_in(image).await?,
            None => pool.lease().await?,
        }))
    }

    async fn worker(&self) -> Result<Box<dyn SlotLease>, Error> {
        Ok(Box::new(self.wasm.lease().await?))
    }

    /// Ends all slots and workers.
    pub async fn close(&self) {
        self.wasm.close();
        if let Some(pool) = &self.slots {
            pool.close().await;
        }
    }
}

impl Slots for Places {
    fn lease<'a>(&'a self, place: Place<'a>) -> BoxFuture<'a, Result<Box<dyn SlotLease>, Error>> {
        Box::pin(async move {
            match place {
                Place::Slot(image) => self.slot(image).await,
                Place::Wasm => self.worker().await,
            }
        })
    }

    fn lease_pair<'a>(
        &'a self,
        places: [Place<'a>; 2],
    ) -> BoxFuture<'a, Result<[Box<dyn SlotLease>; 2], Error>> {
        Box::pin(async move {
            match places {
                [Place::Slot(first), Place::Slot(second)] => {
                    let leases = self.pool()?.lease_pair([first, second]).await?;
                    Ok(leases.map(|lease| Box::new(lease) as Box<dyn SlotLease>))
                }
                [Place::Wasm, Place::Wasm] => {
                    let leases = self.wasm.lease_pair().await?;
                    Ok(leases.map(|lease| Box::new(lease) as Box<dyn SlotLease>))
                }
                // The worker always first: nobody who has a slot waits for one.
                [Place::Wasm, Place::Slot(image)] => {
                    Ok([self.worker().await?, self.slot(image).await?])
                }
                [Place::Slot(image), Place::Wasm] => {
                    let worker = self.worker().await?;
                    Ok([self.slot(image).await?, worker])
                }
            }
        })
    }

    fn status(&self) -> PoolStatus {
        let wasm = self.wasm.status();
        let Some(slots) = self.slots.as_ref().map(SlotPool::status) else { return wasm };
        PoolStatus { leased: slots.leased + wasm.leased, ..slots }
    }
}

impl SlotLease for WasmLease {
    fn install<'a>(&'a mut self, files: &'a [InputFile]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Self::install(self, files))
    }

    fn run<'a>(&'a mut self, spec: &'a RunSpec) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(Self::run(self, spec))
    }

    fn run_with<'a>(
        &'a mut self,
        spec: &'a RunSpec,
        streams: Streams,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(Self::run_with(self, spec, streams))
    }
}

/// Slots that are shared out by weight.
#[derive(Clone, Debug)]
pub struct FairSlots {
    inner: Arc<dyn Slots>,
    scheduler: Arc<Scheduler>,
    metrics: Arc<Metrics>,
    flow: Flow,
}

impl FairSlots {
    /// So many slots, on behalf of the service itself.
    #[must_use]
    pub fn new(inner: Arc<dyn Slots>, slots: usize, metrics: Arc<Metrics>) -> Self {
        let flow = Flow {
            tenant: "service".into(),
            weight: 1,
            slots_max: None,
            priority: Priority::Interactive,
            request: 0,
        };
        Self { inner, scheduler: Scheduler::new(slots), metrics, flow }
    }

    async fn granted(&self, slots: usize) -> FairGrant {
        let asked = Instant::now();
        let grant = self.scheduler.acquire(&self.flow, slots).await;
        let waited = asked.elapsed();
        self.metrics.operation().waited(self.flow.priority, waited);
        tracing::debug!(slots, ms = waited.as_secs_f64() * 1e3, "granted a slot");
        let (metrics, tenant) = (Arc::clone(&self.metrics), Arc::clone(&self.flow.tenant));
        FairGrant { grant, metrics, tenant }
    }
}

/// A grant whose time is counted.
struct FairGrant {
    grant: Grant,
    metrics: Arc<Metrics>,
    tenant: Arc<str>,
}

impl Drop for FairGrant {
    fn drop(&mut self) {
        self.metrics.operation().used(&self.tenant, self.grant.held());
    }
}

/// A lease, and the grant that outlives it.
struct FairLease {
    lease: Box<dyn SlotLease>,
    #[expect(dead_code, reason = "its drop lets the next one in")]
    grant: Arc<FairGrant>,
}

impl Slots for FairSlots {
    fn lease<'a>(&'a self, place: Place<'a>) -> BoxFuture<'a, Result<Box<dyn SlotLease>, Error>> {
        Box::pin(async move {
            let grant = Arc::new(self.granted(1).await);
            let lease = self.inner.lease(place).await?;
            Ok(Box::new(FairLease { lease, grant }) as Box<dyn SlotLease>)
        })
    }

    fn lease_pair<'a>(
        &'a self,
        places: [Place<'a>; 2],
    ) -> BoxFuture<'a, Result<[Box<dyn SlotLease>; 2], Error>> {
        Box::pin(async move {
            let grant = Arc::new(self.granted(2).await);
            let leases = self.inner.lease_pair(places).await?;
            Ok(leases.map(|lease| {
                Box::new(FairLease { lease, grant: Arc::clone(&grant) }) as Box<dyn SlotLease>
            }))
        })
    }

    fn status(&self) -> PoolStatus {
        self.inner.status()
    }

    fn on_behalf(&self, flow: &Flow) -> Option<Arc<dyn Slots>> {
        Some(Arc::new(Self { flow: flow.clone(), ..self.clone() }))
    }
}

impl SlotLease for FairLease {
    fn install<'a>(&'a mut self, files: &'a [InputFile]) -> BoxFuture<'a, Result<(), Error>> {
        self.lease.install(files)
    }

    fn run<'a>(&'a mut self, spec: &'a RunSpec) -> BoxFuture<'a, Result<Outcome, Error>> {
        self.lease.run(spec)
    }

    fn run_with<'a>(
        &'a mut self,
        spec: &'a RunSpec,
        streams: Streams,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        self.lease.run_with(spec, streams)
    }
}

impl SlotLease for Lease {
    fn install<'a>(&'a mut self, files: &'a [InputFile]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Self::install(self, files))
    }

    fn run<'a>(&'a mut self, spec: &'a RunSpec) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(Self::run(self, spec))
    }

    fn run_with<'a>(
        &'a mut self,
        spec: &'a RunSpec,
        streams: Streams,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(Self::run_with(self, spec, streams))
    }
}

/// Slots that answer from a script, for tests of what happens around them.
#[cfg(test)]
pub(crate) mod scripted {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::{
        BoxFuture, Error, InputFile, Outcome, Place, PoolStatus, RunSpec, SlotLease, Slots, Streams,
    };

    type Script = Arc<Mutex<VecDeque<Result<Outcome, Error>>>>;

    /// Each run takes the next answer; without one it waits for ever.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ScriptedSlots {
        script: Script,
        pub(crate) leases: Arc<Mutex<usize>>,
    }

    impl ScriptedSlots {
        pub(crate) fn new(script: impl IntoIterator<Item = Result<Outcome, Error>>) -> Self {
            Self {
                script: Arc::new(Mutex::new(script.into_iter().collect())),
                leases: Arc::default(),
            }
        }
    }

    impl Slots for ScriptedSlots {
        fn lease<'a>(&'a self, _: Place<'a>) -> BoxFuture<'a, Result<Box<dyn SlotLease>, Error>> {
            *self.leases.lock().unwrap() += 1;
            let lease = ScriptedLease(Arc::clone(&self.script));
            Box::pin(async { Ok(Box::new(lease) as Box<dyn SlotLease>) })
        }

        fn lease_pair<'a>(
            &'a self,
            _: [Place<'a>; 2],
        ) -> BoxFuture<'a, Result<[Box<dyn SlotLease>; 2], Error>> {
            *self.leases.lock().unwrap() += 2;
            let leases = [(); 2].map(|()| ScriptedLease(Arc::clone(&self.script)));
            let leases = leases.map(|lease| Box::new(lease) as Box<dyn SlotLease>);
            Box::pin(async { Ok(leases) })
        }

        fn status(&self) -> PoolStatus {
            PoolStatus { slots: 2, leased: 0, standing: 2, building: 0, rebuilt: 0 }
        }
    }

    struct ScriptedLease(Script);

    impl SlotLease for ScriptedLease {
        fn install<'a>(&'a mut self, _: &'a [InputFile]) -> BoxFuture<'a, Result<(), Error>> {
            Box::pin(async { Ok(()) })
        }

        fn run_with<'a>(
            &'a mut self,
            spec: &'a RunSpec,
            _: Streams,
        ) -> BoxFuture<'a, Result<Outcome, Error>> {
            self.run(spec)
        }

        fn run<'a>(&'a mut self, _: &'a RunSpec) -> BoxFuture<'a, Result<Outcome, Error>> {
            let next = self.0.lock().unwrap().pop_front();
            Box::pin(async {
                match next {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            })
        }
    }
}
