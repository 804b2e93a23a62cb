//! The sandbox by its library: what a program sees of the machine, of other runs and of itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use sandbox::outcome::Termination;
use sandbox::spec::Memory;
use sandbox::{Limits, RunSpec};

use crate::ground::{Ground, expect_end, expect_stdout, python, text};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sandbox",
        [
            nothing_of_the_previous_run_is_visible,
            nothing_of_a_previous_lease_is_visible,
            the_environment_is_what_was_asked_for,
            only_three_descriptors_are_open,
            the_program_has_no_privilege,
            the_program_sees_its_own_processes_only,
            closed_memory_is_nobodys_and_the_rest_of_proc_is_there,
            the_root_is_read_only,
            there_is_no_network,
            the_host_name_is_not_the_hosts,
            parallel_runs_do_not_see_each_other,
        ]
    )
}

/// Leaves every kind of trace that outlives a process.
const LEAVE: &str = "\
import ctypes, os, signal
for folder in ('/w', '/tmp', '/dev/shm'):
    os.makedirs(folder + '/left/deep')
    open(folder + '/left/file', 'w').write('secret')
libc = ctypes.CDLL(None, use_errno=True)
libc.shmget(0x1234, 4096, 0o1666)
libc.semget(0x1234, 1, 0o1666)
libc.msgget(0x1234, 0o1666)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in (0, 1, 2): os.close(fd)
        while True: signal.pause()
    os._exit(0)
print('left')
";

/// Looks for each of them.
const LOOK: &str = "\
import ctypes, os
found = []
for folder in ('/w', '/tmp', '/dev/shm'):
    found += [folder + '/' + name for name in os.listdir(folder)]
libc = ctypes.CDLL(None, use_errno=True)
found += [name for name, id in (('shm', libc.shmget(0x1234, 4096, 0)), ('sem', libc.semget(0x1234, 1, 0)), ('msg', libc.msgget(0x1234, 0))) if id >= 0]
for pid in os.listdir('/proc'):
    if pid.isdigit() and int(pid) not in (1, os.getpid(), os.getppid()):
        found.append('process ' + pid)
print(found)
";

async fn nothing_of_the_previous_run_is_visible() -> Result<()> {
    let ground = Ground::new(1).await?;
    let mut lease = ground.pool.lease().await?;
    for _ in 0..3 {
        expect_stdout(&lease.run(&python(LOOK)?).await?, "[]\n")?;
        expect_stdout(&lease.run(&python(LEAVE)?).await?, "left\n")?;
    }
    expect_stdout(&lease.run(&python(LOOK)?).await?, "[]\n")?;
    drop(lease);
    ground.close().await
}

async fn nothing_of_a_previous_lease_is_visible() -> Result<()> {
    let ground = Ground::new(1).await?;
    expect_stdout(&ground.run(python(LEAVE)?).await?, "left\n")?;
    expect_stdout(&ground.run(python(LOOK)?).await?, "[]\n")?;
    ground.close().await
}

async fn the_environment_is_what_was_asked_for() -> Result<()> {
    let ground = Ground::new(1).await?;
    let outcome = ground.run(RunSpec::new(["/usr/bin/env"])?).await?;
    expect_stdout(&outcome, "")?;
    let spec = RunSpec::new(["/usr/bin/env"])?.env(["A=1", "B=two words"])?;
    expect_stdout(&ground.run(spec).await?, "A=1\nB=two words\n")?;
    ground.close().await
}

async fn only_three_descriptors_are_open() -> Result<()> {
    let ground = Ground::new(2).await?;
    let code = "import os\nopen_fds = []\nfor fd in range(4096):\n    try: os.fstat(fd)\n    \
                except OSError: continue\n    open_fds.append(fd)\nprint(open_fds)";
    expect_stdout(&ground.run(python(code)?).await?, "[0, 1, 2]\n")?;
    ground.close().await
}

async fn the_program_has_no_privilege() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nprint(os.getuid() != 0, os.getgid() != 0, os.getgroups())\n\
                keep = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')\n\
                for line in open('/proc/self/status'):\n    name, value = line.split(':', 1)\n    \
                if name in keep: print(name, value.strip())";
    let none = "0000000000000000";
    let expected = format!(
        "True True []\nCapInh {none}\nCapPrm {none}\nCapEff {none}\nCapBnd {none}\n\
         CapAmb {none}\nNoNewPrivs 1\nSeccomp 2\n"
    );
    expect_stdout(&ground.run(python(code)?).await?, &expected)?;
    ground.close().await
}

/// The program, one that it forks, and one that it starts look at the program's files; then it tries to undo it.
async fn closed_memory_is_nobodys_and_the_rest_of_proc_is_there() -> Result<()> {
    let look = "import os, subprocess, sys\n\
                def opened(pid):\n    names = []\n    \
                for name in ('mem', 'environ', 'maps', 'stat', 'status', 'fd/0'):\n        \
                try: open(f'/proc/{pid}/{name}', 'rb').close()\n        \
                except OSError: continue\n        names.append(name)\n    return names\n\
                if len(sys.argv) > 1: print(opened(sys.argv[1])); sys.exit()\n\
                print(opened('self'), os.readlink('/proc/self/exe') == os.path.realpath(sys.executable), flush=True)\n\
                pid = os.getpid()\n\
                if os.fork() == 0: print(opened(pid), flush=True); os._exit(0)\n\
                os.wait()\n\
                again = subprocess.run([sys.executable, '-c', open(0, closefd=False).read(), str(pid)], \
                capture_output=True, text=True, stdin=subprocess.DEVNULL)\nprint(again.stdout, end='')\n\
                print(os.getgroups(), 'libc.so' in open('/proc/self/maps').read())";
    let spec = |memory| Ok::<_, anyhow::Error>(python(look)?.stdin(look)?.memory(memory));
    let ground = Ground::new(1).await?;
    let all = "['mem', 'environ', 'maps', 'stat', 'status', 'fd/0']";
    let own = format!("{all} True\n{all}\n{all}\n[] True\n");
    expect_stdout(&ground.run(spec(Memory::Own)?).await?, &own)?;
    let closed = "['maps', 'stat', 'status', 'fd/0'] True\n[]\n[]\n[1001] True\n";
    expect_stdout(&ground.run(spec(Memory::Closed)?).await?, closed)?;
    // The machine of `make test-vm` has no compiler.
    if !Path::new("/usr/bin/gcc").exists() {
        return ground.close().await;
    }
    // The compiler reads the loader that such runs may not, and what it makes is closed as well.
    let native = "printf '#include <stdio.h>\\nint main(void) { puts(fopen(\"/proc/self/mem\", \"r\") ? \"open\" : \"closed\"); }' \
                  > a.c && gcc -o a a.c && ./a";
    let compiled = |memory| {
        let spec =
            RunSpec::new(["/bin/sh", "-c", native])?.env(["PATH=/usr/bin:/bin", "TMPDIR=/tmp"])?;
        let limits = Limits { cpu_time: Duration::from_secs(10), ..Limits::default() };
        Ok::<_, anyhow::Error>(spec.limits(limits)?.memory(memory))
    };
    expect_stdout(&ground.run(compiled(Memory::Own)?).await?, "open\n")?;
    let outcome = ground.run(compiled(Memory::Closed)?).await?;
    ensure!(outcome.stdout.bytes.is_empty(), "a loader was read");
    ground.close().await
}

async fn the_program_sees_its_own_processes_only() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit() \
                and int(p) not in (1, os.getpid(), os.getppid())), os.getpid() < 100)";
    expect_stdout(&ground.run(python(code)?).await?, "[] True\n")?;
    ground.close().await
}

async fn the_root_is_read_only() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os\nfound = []\nfor folder in ('/', '/usr', '/usr/bin', '/usr/lib', '/etc', '/bin', \
                '/lib', '/box', '/proc', '/sys', '/dev', '/var', '/root', '/home', '/run'):\n    try:\n        \
                open(os.path.join(folder, 'probe'), 'w')\n    except OSError: continue\n    \
                found.append(folder)\nprint(found)";
    expect_stdout(&ground.run(python(code)?).await?, "[]\n")?;
    let code = "for line in open('/proc/self/mountinfo'):\n    fields = line.split()\n    \
                options = fields[5].split(',')\n    \
                if fields[4] not in ('/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom') \
                and not ('nosuid' in options and ('nodev' in options or fields[4].startswith('/dev'))): \
                print(fields[4], options)";
    expect_stdout(&ground.run(python(code)?).await?, "")?;
    ground.close().await
}

async fn there_is_no_network() -> Result<()> {
    let ground = Ground::new(1).await?;
    let code = "import os, socket\ntry: print(sorted(os.listdir('/sys/class/net')))\n\
                except OSError: print(['lo'])\n\
                for address in (('1.1.1.1', 53), ('127.0.0.1', 22)):\n    try:\n        \
                socket.create_connection(address, timeout=5)\n        print('connected')\n    \
                except OSError: print('refused')";
    expect_stdout(&ground.run(python(code)?).await?, "['lo']\nrefused\nrefused\n")?;
    ground.close().await
}

async fn the_host_name_is_not_the_hosts() -> Result<()> {
    let ground = Ground::new(1).await?;
    let outcome = ground.run(python("import os\nprint(os.uname().nodename)")?).await?;
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    ensure!(text(&outcome).trim() != host, "{}", text(&outcome));
    ground.close().await
}

async fn parallel_runs_do_not_see_each_other() -> Result<()> {
    let ground = Ground::new(2).await?;
    let limits = Limits { wall_time: Duration::from_secs(2), ..Limits::default() };
    let stay = python(&LEAVE.replace("print('left')", "signal.pause()"))?.limits(limits)?;
    let stay = ground.run(stay);
    let look = async {
        let mut finds = Vec::new();
        for _ in 0..20 {
            finds.push(text(&ground.run(python(LOOK)?).await?));
        }
        anyhow::Ok(finds)
    };
    let (stayed, finds) = tokio::try_join!(stay, look)?;
    expect_end(&stayed, Termination::WallTimeLimit)?;
    ensure!(finds.iter().all(|find| find == "[]\n"), "{finds:?}");
    ground.close().await
}
