//! Runs a Python program cold and warm in one slot, and prints both outcomes.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::num::NonZeroUsize;

use sandbox::spec::{FileMode, InputFile, RelativePath};
use sandbox::warm::Warmup;
use sandbox::{Image, PoolConfig, RunSpec, SlotPool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    sandbox::resident_entry();
    let source = std::env::args().nth(1).unwrap_or_else(|| "print(input())".to_owned());
    let argv = ["/usr/bin/python3", "/box/main.py"].map(str::to_owned).to_vec();
    let env = ["PATH=/usr/bin:/bin", "HOME=/w", "LANG=C.UTF-8", "PYTHONHASHSEED=0"];
    let env = env.map(str::to_owned).to_vec();
    let preload = ["re", "math", "collections", "heapq"].map(str::to_owned).to_vec();
    let mut config = PoolConfig::new(Image::host()?);
    config.slots = NonZeroUsize::MIN;
    config.warm = vec![Warmup { argv: argv.clone(), env: env.clone(), preload, folder: None }];
    let pool = SlotPool::new(config).await?;
    for _ in 0..3 {
        let mut lease = pool.lease().await?;
        let path = RelativePath::new("main.py")?;
        let content = source.clone().into_bytes().into();
        lease.install(&[InputFile { path, content, mode: FileMode::Plain }]).await?;
        let spec = RunSpec::new(&argv)?.env(&env)?.stdin("hello\n".as_bytes())?;
        let outcome = lease.run(&spec).await?;
        println!("{:?} {:?}", outcome.termination, outcome.usage);
        println!("{}", String::from_utf8_lossy(&outcome.stdout.bytes));
        println!("{}", String::from_utf8_lossy(&outcome.stderr.bytes));
    }
    pool.close().await;
    Ok(())
}
