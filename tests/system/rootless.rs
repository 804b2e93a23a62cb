//! The sandbox as an ordinary user has it: the same command line, with no privilege at all.
//!
//! The tests run as root and start `sandbox` as a user who owns nothing on the machine but a folder,
//! which also stands for that user's home. Control groups are not delegated, but in the last test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::service::executable_beside_us;
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Needs, named};

/// A user and group that no system gives out.
const USER: u32 = 54_321;

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "rootless",
        [
            a_program_runs_and_its_exit_code_is_reported,
            a_signal_is_reported,
            the_cpu_limit_ends_a_spinning_program,
            the_cpu_limit_counts_children,
            the_wall_limit_ends_a_sleeping_program,
            a_memory_bomb_ends,
            memory_of_all_processes_together_is_limited,
            memory_below_the_limit_is_granted,
            memory_that_no_process_maps_is_refused,
            a_fork_bomb_is_contained,
            the_pids_limit_holds,
            the_output_limit_holds,
            a_large_output_arrives_whole,
            the_disk_limit_holds,
            there_is_no_network,
            files_of_the_user_are_out_of_reach,
            a_program_has_no_capability_and_one_identity,
            only_the_layer_is_writable,
            the_resident_is_out_of_reach,
            a_run_leaves_nothing_for_the_next,
            slots_side_by_side_do_not_see_each_other,
            a_foreign_state_folder_is_refused,
            a_host_that_forbids_user_namespaces_is_told,
            preflight_names_what_is_weaker,
            a_killed_supervisor_leaves_nothing,
            delegated_groups_are_used,
        ]
    )
}

/// A folder of the user's with the program in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("assay-test-").tempdir()?;
        let program = folder.path().join("sandbox");
        fs::copy(executable_beside_us("sandbox")?, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let home = Self { folder };
        for name in ["home", "run"] {
            let path = home.path(name);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            chown(&path, Some(USER), Some(USER))?;
        }
        fs::set_permissions(home.folder.path(), fs::Permissions::from_mode(0o755))?;
        Ok(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path("home").join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(USER), Some(USER))?;
        Ok(path)
    }

    /// `program`, to be run as the user.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = std::process::Command::new(program.as_ref());
        // Root's own groups and capabilities go with the change of user.
        command.uid(USER).gid(USER);
        let mut command = Command::from(command);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What `sandbox run` reports, one object for each run.
    async fn runs(&self, options: &[&str], argv: &[&str]) -> Result<Vec<Value>> {
        let mut command = self.command(self.path("sandbox"));
        let output = command.args(["run", "--json"]).args(options).arg("--").args(argv);
        let output = output.output().await.context("failed to run sandbox")?;
        let reports: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .collect::<Result<_, _>>()?;
        // A fault of the sandbox, maybe after some runs.
        ensure!(output.status.code() != Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(reports)
    }

    async fn run(&self, options: &[&str], argv: &[&str]) -> Result<Value> {
        self.runs(options, argv).await?.pop().context("no report")
    }

    async fn shell(&self, options: &[&str], code: &str) -> Result<Value> {
        self.run(options, &["/bin/sh", "-c", code]).await
    }

    async fn python(&self, options: &[&str], code: &str) -> Result<Value> {
        self.run(options, &[PYTHON, "-I", "-S", "-c", code]).await
    }
}

const PYTHON: &str = "/usr/bin/python3";

fn stdout(report: &Value) -> &str {
    report["stdout"].as_str().unwrap_or_default()
}

fn expect_end(report: &Value, termination: &str) -> Result<()> {
    ensure!(report["termination"] == termination, "expected {termination}, got {report:.2000}");
    Ok(())
}

fn expect_stdout(report: &Value, wanted: &str) -> Result<()> {
    ensure!(report["termination"]["Exited"]["code"] == 0, "{report:.2000}");
    ensure!(stdout(report) == wanted, "expected {wanted:?}, got {report:.2000}");
    Ok(())
}

fn number(report: &Value, name: &str) -> Result<f64> {
    report[name].as_f64().with_context(|| format!("no {name} in {report:.2000}"))
}

async fn a_program_runs_and_its_exit_code_is_reported() -> Result<()> {
    let home = Home::new()?;
    expect_stdout(&home.run(&[], &["/bin/echo", "hello"]).await?, "hello\n")?;
    let report = home.shell(&[], "exit 42").await?;
    ensure!(report["termination"]["Exited"]["code"] == 42, "{report}");
    Ok(())
}

async fn a_signal_is_reported() -> Result<()> {
    let report = Home::new()?.shell(&[], "kill -6 $$").await?;
    ensure!(report["termination"]["Signalled"]["signal"] == 6, "{report}");
    Ok(())
}

async fn the_cpu_limit_ends_a_spinning_program() -> Result<()> {
    let report = Home::new()?.python(&["--cpu-time-ms", "300"], "while True: pass").await?;
    expect_end(&report, "CpuTimeLimit")?;
    let used = number(&report, "cpu_time_ms")?;
    ensure!((295.0..600.0).contains(&used), "{report}");
    Ok(())
}

/// Children that are waited for, and long-lived ones that are not.
async fn the_cpu_limit_counts_children() -> Result<()> {
    let home = Home::new()?;
    for (ignore, seconds) in
        [("", "0.05"), ("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "0.2")]
    {
        let code = format!(
            "import os, signal, time\n{ignore}\nwhile True:\n    if os.fork() == 0:\n        \
             while time.process_time() < {seconds}: pass\n        os._exit(0)\n    \
             try: os.wait()\n    except ChildProcessError: pass"
        );
        expect_end(&home.python(&["--cpu-time-ms", "400"], &code).await?, "CpuTimeLimit")?;
    }
    Ok(())
}

async fn the_wall_limit_ends_a_sleeping_program() -> Result<()> {
    let start = Instant::now();
    let report = Home::new()?.shell(&["--wall-time-ms", "300"], "sleep 1000").await?;
    expect_end(&report, "WallTimeLimit")?;
    ensure!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    Ok(())
}

async fn a_memory_bomb_ends() -> Result<()> {
    let code = "x = []\nwhile True: x.append(bytearray(1 << 20))";
    let report = Home::new()?.python(&["--memory-mib", "64"], code).await?;
    expect_end(&report, "MemoryLimit")?;
    ensure!(number(&report, "peak_memory_bytes")? < f64::from(512 << 20), "{report}");
    Ok(())
}

async fn memory_of_all_processes_together_is_limited() -> Result<()> {
    let code = "import os, time\nfor _ in range(8):\n    if os.fork() == 0: break\n\
                x = [bytearray(1 << 20) for _ in range(20)]\ntime.sleep(5)";
    let options = ["--memory-mib", "96", "--wall-time-ms", "8000"];
    expect_end(&Home::new()?.python(&options, code).await?, "MemoryLimit")
}

/// Also where it is shared by many processes: pages count once.
async fn memory_below_the_limit_is_granted() -> Result<()> {
    let code = "import os, time\nx = bytearray(80 << 20)\nfor _ in range(8):\n    \
                if os.fork() == 0:\n        time.sleep(0.3)\n        os._exit(0)\n\
                for _ in range(8): os.wait()\nprint(len(x) >> 20)";
    expect_stdout(&Home::new()?.python(&["--memory-mib", "160"], code).await?, "80\n")
}

async fn memory_that_no_process_maps_is_refused() -> Result<()> {
    let code = "import os\ntry: os.memfd_create('x')\nexcept OSError as error: print(error.errno)";
    expect_stdout(&Home::new()?.python(&[], code).await?, "38\n")
}

async fn a_fork_bomb_is_contained() -> Result<()> {
    let code = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass";
    expect_end(&Home::new()?.python(&["--cpu-time-ms", "500"], code).await?, "CpuTimeLimit")
}

/// At the limit and one above.
async fn the_pids_limit_holds() -> Result<()> {
    let code = "import os, time\ncount = 1\ntry:\n    while count < 100:\n        \
                if os.fork() == 0:\n            time.sleep(60)\n        count += 1\n\
                except BlockingIOError: pass\nprint(count)";
    expect_stdout(&Home::new()?.python(&["--pids", "12"], code).await?, "12\n")
}

async fn the_output_limit_holds() -> Result<()> {
    let report = Home::new()?.shell(&["--output-kib", "10"], "while :; do echo y; done").await?;
    expect_end(&report, "OutputLimit")?;
    ensure!(stdout(&report).len() == 10 << 10, "{} bytes", stdout(&report).len());
    Ok(())
}

/// Twice, as the resident writes such outputs to the same file.
async fn a_large_output_arrives_whole() -> Result<()> {
    let code = "print('x' * 3000000)";
    let options = ["--repeat", "2"];
    for report in Home::new()?.runs(&options, &[PYTHON, "-I", "-S", "-c", code]).await? {
        ensure!(stdout(&report).len() == 3_000_001, "{} bytes", stdout(&report).len());
    }
    Ok(())
}

async fn the_disk_limit_holds() -> Result<()> {
    let code = "total = 0\ntry:\n    for name in 'abc':\n        with open('/tmp/' + name, 'wb', 0) as file:\n            \
                for _ in range(48): total += file.write(bytes(1 << 20))\n\
                except OSError as error: print(error.errno, 60 < total >> 20 <= 65)";
    expect_stdout(&Home::new()?.python(&[], code).await?, "28 True\n")
}

async fn there_is_no_network() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let code = format!(
        "import socket\nfor address in [('127.0.0.1', {}), ('192.0.2.1', 80)]:\n    \
         try: socket.create_connection(address, 1)\n    except OSError as error: print(error.errno)",
        listener.local_addr()?.port()
    );
    expect_stdout(&Home::new()?.python(&[], &code).await?, "111\n101\n")
}

/// The same user outside, and still: what the image does not show cannot be named.
async fn files_of_the_user_are_out_of_reach() -> Result<()> {
    let home = Home::new()?;
    let secret = home.write("secret", "do not tell")?;
    let read = home.command("/bin/cat").arg(&secret).output().await?;
    ensure!(read.stdout == b"do not tell", "the user itself cannot read it");
    let code =
        format!("cat {} /proc/1/root{} /proc/1/cwd/etc/shadow", secret.display(), secret.display());
    let report = home.shell(&[], &code).await?;
    ensure!(report["termination"]["Exited"]["code"] == 1 && stdout(&report).is_empty(), "{report}");
    Ok(())
}

async fn a_program_has_no_capability_and_one_identity() -> Result<()> {
    let code = "grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\\t ' ' '; \
                cat /proc/sys/user/max_user_namespaces";
    let wanted = "Uid: 1000 1000 1000 1000\nGid: 1000 1000 1000 1000\nCapInh: 0000000000000000\n\
                  CapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\n\
                  CapAmb: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n0\n";
    expect_stdout(&Home::new()?.shell(&[], code).await?, wanted)
}

async fn only_the_layer_is_writable() -> Result<()> {
    let home = Home::new()?;
    let file = home.write("given.py", "pass")?;
    let file = file.to_str().context("a path that is no text")?;
    let code = "import os\n\
                def attempt(call, *arguments):\n    try: call(*arguments)\n    except OSError as error: return error.errno\n\
                for path in ['/', '/box', '/etc', '/usr', '/dev', '/run']:\n    \
                assert attempt(os.mkdir, path + '/new') in (1, 13, 30), path\n    \
                assert attempt(os.chmod, path, 0o777) in (1, 30), path\n    \
                assert attempt(os.utime, path) in (1, 13, 30), path\n\
                assert attempt(open, '/box/given.py', 'r+') == 30\n\
                assert attempt(os.unlink, '/box/given.py') == 30\n\
                for name in ['null', 'zero', 'full', 'random', 'urandom']:\n    \
                assert attempt(os.utime, '/dev/' + name) in (1, 13, 30), name\n    \
                open('/dev/' + name, 'rb').close()\n\
                for path in ['/w', '/tmp', '/dev/shm']:\n    os.mkdir(path + '/new')\n\
                print('ok')";
    expect_stdout(&home.python(&["--file", file], code).await?, "ok\n")
}

/// It has the program's identity, so all that an identity gives must be closed otherwise.
async fn the_resident_is_out_of_reach() -> Result<()> {
    let code = "import os, resource\n\
                def attempt(call, *arguments):\n    try: call(*arguments)\n    except OSError as error: return error.errno\n\
                assert attempt(resource.prlimit, 1, resource.RLIMIT_NOFILE, (3, 3)) == 1\n\
                assert attempt(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0)) == 1\n\
                assert attempt(os.setpriority, os.PRIO_USER, 1000, 19) == 1\n\
                for name in ['environ', 'mem', 'maps', 'exe', 'fd/3', 'root', 'oom_score_adj']:\n    \
                assert attempt(os.open, '/proc/1/' + name, os.O_RDONLY) in (2, 13), name\n\
                for signal in range(1, 65):\n    attempt(os.kill, 1, signal)\n\
                print('ok')";
    for report in Home::new()?.runs(&["--repeat", "3"], &[PYTHON, "-I", "-S", "-c", code]).await? {
        expect_stdout(&report, "ok\n")?;
    }
    Ok(())
}

async fn a_run_leaves_nothing_for_the_next() -> Result<()> {
    let code = "import os, signal, sys\n\
                for path in ['/w', '/tmp', '/dev/shm']:\n    about = os.stat(path)\n    \
                print(os.listdir(path), oct(about.st_mode), about.st_mtime_ns, about.st_atime_ns, \
                os.listxattr(path))\n\
                print([name for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()])\n\
                sys.stdout.flush()\n\
                for path in ['/w', '/tmp', '/dev/shm']:\n    \
                os.makedirs(path + '/a/b')\n    os.symlink('/', path + '/link')\n    os.mkfifo(path + '/pipe')\n    \
                os.chmod(path + '/a', 0)\n    os.setxattr(path, 'user.mark', b'x')\n    os.utime(path, (1, 2))\n    \
                os.chmod(path, 0o300)\n\
                if os.fork() == 0:\n    os.setsid()\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    \
                while True: signal.pause()";
    let reports = Home::new()?.runs(&["--repeat", "3"], &[PYTHON, "-I", "-S", "-c", code]).await?;
    ensure!(stdout(&reports[0]).starts_with("[] 0o40755 "), "{}", reports[0]);
    for report in &reports {
        expect_stdout(report, stdout(&reports[0]))?;
    }
    Ok(())
}

async fn slots_side_by_side_do_not_see_each_other() -> Result<()> {
    let home = Home::new()?;
    let code = "import os, socket, time\nsocket.socket(socket.AF_UNIX).bind('\\0assay-test')\n\
                open('/tmp/mine', 'x')\ntime.sleep(0.5)\n\
                print(len([name for name in os.listdir('/proc') if name.isdigit()]), os.listdir('/tmp'))";
    let (one, other) = tokio::join!(home.python(&[], code), home.python(&[], code));
    for report in [one?, other?] {
        expect_stdout(&report, "1 ['mine']\n")?;
    }
    Ok(())
}

async fn a_foreign_state_folder_is_refused() -> Result<()> {
    let home = Home::new()?;
    // Made by another, here root, before the user came.
    let folder = home.path("run").join("assay");
    fs::create_dir(&folder)?;
    let mut command = home.command(home.path("sandbox"));
    let output = command.args(["run", "--", "/bin/true"]).output().await?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(3) && message.contains("XDG_RUNTIME_DIR"), "{message}");
    Ok(())
}

/// In a user namespace of the user's own, where the setting is the user's to change.
async fn a_host_that_forbids_user_namespaces_is_told() -> Result<()> {
    let home = Home::new()?;
    let code = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} run -- /bin/true",
        home.path("sandbox").display()
    );
    let mut command = home.command("/usr/bin/unshare");
    let user = USER.to_string();
    let options = ["--user", "--map-user", &user, "--map-group", &user, "--keep-caps", "sh", "-c"];
    let output = command.args(options).arg(&code).output().await?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(3), "{message}");
    ensure!(message.contains("sysctl user.max_user_namespaces="), "{message}");
    Ok(())
}

async fn preflight_names_what_is_weaker() -> Result<()> {
    let home = Home::new()?;
    let output = home.command(home.path("sandbox")).arg("preflight").output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}");
    let state = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    for name in ["privileges ", "identities ", "mounts ", "device nodes ", "memory limit "] {
        ensure!(state(name) == Some("degraded"), "{name}: {text}");
    }
    ensure!(state("trial slot ") == Some("on"), "{text}");
    Ok(())
}

/// The harness looks for processes afterwards; the locks are looked for here.
async fn a_killed_supervisor_leaves_nothing() -> Result<()> {
    let home = Home::new()?;
    let mut command = home.command(home.path("sandbox"));
    let mut child = command.args(["run", "--", "/bin/sleep", "60"]).spawn()?;
    let locks = home.path("run/assay/slots");
    let count = || fs::read_dir(&locks).map_or(0, Iterator::count);
    let claimed =
        harness::deadline::poll(Duration::from_secs(10), || (count() == 1).then_some(())).await;
    ensure!(claimed.is_some(), "no slot was claimed");
    child.kill().await?;
    expect_stdout(&home.run(&[], &["/bin/echo", "next"]).await?, "next\n")?;
    ensure!(count() == 0, "{} locks are left", count());
    Ok(())
}

/// A group that belongs to the user, in each hierarchy.
struct Delegated(Vec<PathBuf>);

impl Delegated {
    fn new() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").is_file();
        let names: &[&str] = if unified { &["."] } else { &["memory", "pids", "cpuacct"] };
        let mut made = Self(Vec::new());
        for name in names {
            if unified {
                fs::write(root.join("cgroup.subtree_control"), "+memory +pids +cpu")
                    .context("hand controllers down from the root")?;
            }
            let folder = root.join(name).join("rootless-test");
            fs::create_dir(&folder)?;
            made.0.push(folder.clone());
            chown(&folder, Some(USER), Some(USER))?;
            for file in ["cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"] {
                let file = folder.join(file);
                if file.exists() {
                    chown(&file, Some(USER), Some(USER))?;
                }
            }
        }
        Ok(made)
    }

    fn destroy(&self) -> Result<()> {
        for folder in &self.0 {
            let supervisor = folder.join("assay-supervisor");
            if supervisor.exists() {
                fs::remove_dir(&supervisor)?;
            }
            fs::remove_dir(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }
}

async fn delegated_groups_are_used() -> Result<()> {
    let home = Home::new()?;
    let groups = Delegated::new()?;
    let join: String = groups
        .0
        .iter()
        .map(|folder| format!("echo $$ > {}/cgroup.procs && ", folder.display()))
        .collect();
    let run = |arguments: &str| {
        let sandbox = home.path("sandbox").display().to_string();
        format!(
            "{join}exec setpriv --reuid {USER} --regid {USER} --clear-groups {sandbox} {arguments}"
        )
    };
    let mut outputs = Vec::new();
    let bomb = "run --json --memory-mib 64 -- /usr/bin/python3 -c 'x = bytearray(1 << 30)'";
    for arguments in ["preflight", bomb] {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(run(arguments)).env("XDG_RUNTIME_DIR", home.path("run"));
        outputs.push(command.stdin(Stdio::null()).kill_on_drop(true).output().await?);
    }
    groups.destroy()?;
    let text = String::from_utf8_lossy(&outputs[0].stdout);
    ensure!(text.lines().any(|line| line.starts_with("control groups           on ")), "{text}");
    let report: Value = serde_json::from_slice(&outputs[1].stdout)?;
    expect_end(&report, "MemoryLimit")
}
