//! The sandbox by its library: what goes in and what comes out, by streams and by files.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use sandbox::outcome::{Collected, Termination};
use sandbox::spec::{CollectFile, FileMode, InputFile, RelativePath};

use crate::ground::{Ground, expect_end, expect_stdout, python, shell};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox",
        [
            standard_input_is_delivered_whole,
            a_program_that_never_reads_is_not_held_up,
            both_outputs_beyond_the_pipe_size_are_captured,
            files_go_in_and_come_out,
            a_collected_symlink_is_refused,
            a_collected_fifo_or_folder_is_refused,
            a_leased_file_cannot_be_changed,
        ]
    )
}

async fn standard_input_is_delivered_whole() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import hashlib, sys\ndata = sys.stdin.buffer.read()\n\
                print(len(data), sum(data) % 1000003)";
    for size in [0_usize, 1, 64 << 10, (64 << 10) + 1, 10 << 20] {
        let input: Vec<u8> = (0..size).map(|i| u8::try_from(i * 31 % 251).unwrap_or(0)).collect();
        let sum: u64 = input.iter().map(|&byte| u64::from(byte)).sum();
        let outcome = ground.run(python(code)?.stdin(input)?).await?;
        expect_stdout(&outcome, &format!("{size} {}\n", sum % 1_000_003))?;
    }
    ground.close().await
}

async fn a_program_that_never_reads_is_not_held_up() -> Result<()> {
    let ground = Ground::new(1).await?;
    let spec = shell("echo deaf")?.stdin(vec![b'x'; 10 << 20])?;
    expect_stdout(&ground.run(spec).await?, "deaf\n")?;
    let spec = shell("exec 0<&-; echo closed")?.stdin(vec![b'x'; 10 << 20])?;
    expect_stdout(&ground.run(spec).await?, "closed\n")?;
    ground.close().await
}

async fn both_outputs_beyond_the_pipe_size_are_captured() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nfor n in range(300):\n    \
                os.write(1, b'o' * 4096)\n    os.write(2, b'e' * 4096)";
    let outcome = ground.run(python(code)?).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    for (stream, byte) in [(&outcome.stdout, b'o'), (&outcome.stderr, b'e')] {
        ensure!(stream.bytes.len() == 300 * 4096, "{} bytes", stream.bytes.len());
        ensure!(stream.bytes.iter().all(|&b| b == byte) && !stream.truncated, "mixed");
    }
    ground.close().await
}

fn collect(paths: &[&str]) -> Result<Vec<CollectFile>> {
    paths
        .iter()
        .map(|path| Ok(CollectFile { path: RelativePath::new(*path)?, bytes_max: 1000 }))
        .collect()
}

fn input(path: &str, content: &str) -> Result<InputFile> {
    let path = RelativePath::new(path)?;
    Ok(InputFile { path, content: content.to_owned().into(), mode: FileMode::Plain })
}

async fn files_go_in_and_come_out() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "cat a/b/in.txt > out.txt; head -c 1000 /dev/zero > exact; \
                head -c 1001 /dev/zero > large; mkdir -p deep/er; echo x > deep/er/file; : > empty";
    let spec = shell(code)?
        .files(vec![input("a/b/in.txt", "content\n")?])?
        .collect(collect(&["out.txt", "exact", "large", "missing", "deep/er/file", "empty"])?)?;
    let outcome = ground.run(spec).await?;
    expect_end(&outcome, Termination::Exited { code: 0 })?;
    let expected = [
        Collected::File("content\n".into()),
        Collected::File(vec![0; 1000].into()),
        Collected::TooLarge,
        Collected::Missing,
        Collected::File("x\n".into()),
        Collected::File("".into()),
    ];
    ensure!(outcome.files == expected, "{:?}", outcome.files);
    ground.close().await
}

async fn a_collected_symlink_is_refused() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "ln -s /etc/shadow out; ln -s /etc folder; echo x > real; ln -s real inside; \
                ln real hard; ln -s /proc/self/environ env";
    let paths = ["out", "folder/passwd", "inside", "hard", "env"];
    let outcome = ground.run(shell(code)?.collect(collect(&paths)?)?).await?;
    let file = Collected::File("x\n".into());
    let expected =
        [Collected::Missing, Collected::Missing, Collected::Missing, file, Collected::Missing];
    ensure!(outcome.files == expected, "{:?}", outcome.files);
    ground.close().await
}

async fn a_collected_fifo_or_folder_is_refused() -> Result<()> {
    let ground = Ground::new(1).await?;
    let spec = shell("mkfifo fifo; mkdir folder")?.collect(collect(&["fifo", "folder"])?)?;
    let run = tokio::time::timeout(Duration::from_secs(20), ground.run(spec));
    let outcome = run.await.context("a fifo held up the collection")??;
    ensure!(outcome.files == [Collected::Missing, Collected::Missing], "{:?}", outcome.files);
    ground.close().await
}

async fn a_leased_file_cannot_be_changed() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    lease.install(&[input("program.txt", "original")?]).await?;
    let attack = "echo evil > /box/program.txt; rm -f /box/program.txt; \
                  mv /box/program.txt /w/x; chmod 777 /box /box/program.txt; echo y > /box/new; \
                  ls /box; cat /box/program.txt";
    for _ in 0..2 {
        let outcome = lease.run(&shell(attack)?).await?;
        expect_stdout(&outcome, "program.txt\noriginal")?;
    }
    drop(lease);
    let outcome = ground.run(shell("ls -A /box | wc -l")?).await?;
    expect_stdout(&outcome, "0\n").context("files of a lease outlive it")?;
    ground.close().await
}
