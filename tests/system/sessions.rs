//! Sessions as a client meets them: state, streams, files, and every way in which they end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::http::Content;
use harness::{Client, Service, ServiceConfig, deadline};
use hyper::Method;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{Needs, named};

/// How long what needs no waiting may take on a busy machine.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "sessions",
        [
            state_is_kept_and_results_are_rich,
            a_session_starts_warm_where_another_ended_and_finds_the_same,
            a_cell_streams_what_it_says_as_it_comes,
            a_plot_comes_as_an_image,
            a_shell_keeps_its_state,
            files_go_up_and_down,
            what_makes_no_sense_is_refused,
            a_cell_that_does_not_end_is_interrupted_and_the_session_goes_on,
            a_cell_that_cannot_be_interrupted_ends_with_its_interpreter,
            a_cell_is_interrupted_and_restarted_at_will,
            a_flood_of_output_is_cut_and_the_session_goes_on,
            a_dead_interpreter_is_told_of_and_restarted,
            bombs_end_their_own_interpreter_only,
            a_client_that_goes_away_interrupts_its_cell,
            background_work_between_cells_is_bounded,
        ]
    )
}

/// A session of a service.
pub(crate) struct Open {
    pub(crate) client: Client,
    pub(crate) path: String,
}

impl Open {
    pub(crate) async fn new(client: Client, request: &Value) -> Result<Self> {
        let reply = client.post("/v1/sessions", request).await?;
        ensure!(reply.status == 201, "{}: {}", reply.status, reply.text());
        let info = reply.json()?;
        let id = info["id"].as_str().context("no id")?;
        let path = format!("/v1/sessions/{id}");
        ensure!(reply.headers["location"] == path.as_str(), "{:?}", reply.headers);
        Ok(Self { client, path })
    }

    pub(crate) fn at(&self, part: &str) -> String {
        format!("{}/{part}", self.path)
    }

    pub(crate) async fn execute(&self, request: &Value) -> Result<Value> {
        self.client.post(&self.at("execute"), request).await?.ok_json()
    }

    pub(crate) async fn cell(&self, code: &str) -> Result<Value> {
        self.execute(&json!({"code": code})).await
    }

    /// A cell whose value has this text.
    pub(crate) async fn expect(&self, code: &str, text: &str) -> Result<()> {
        let reply = self.cell(code).await?;
        let last = reply["outputs"].as_array().and_then(|outputs| outputs.last());
        let shown = last.map_or(&Value::Null, |output| &output["data"]["text/plain"]);
        ensure!(reply["status"] == "ok" && shown == text, "{code}: {reply}");
        Ok(())
    }

    async fn info(&self) -> Result<Value> {
        self.client.get(&self.path).await?.ok_json()
    }

    pub(crate) async fn restart(&self) -> Result<()> {
        self.client.post(&self.at("restart"), &json!({})).await?.ok_json().map(drop)
    }

    async fn put(&self, path: &str, content: &[u8]) -> Result<u16> {
        let body = Content { body: content.to_vec().into(), ..Content::default() };
        let path = self.at(&format!("files/{path}"));
        Ok(self.client.request(Method::PUT, &path, body).await?.status)
    }

    pub(crate) async fn close(self) -> Result<()> {
        let reply = self.client.delete(&self.path).await?;
        ensure!(reply.status == 204, "{}: {}", reply.status, reply.text());
        let reply = self.client.get(&self.path).await?;
        ensure!(reply.status == 404, "a closed session answers {}", reply.status);
        Ok(())
    }

    /// Waits until the session says so.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let found = deadline::poll_async(TIME_MAX, || async {
            self.info().await.ok().filter(|info| is_so(info))
        });
        found.await.map(drop).with_context(|| format!("never {what}"))
    }
}

pub(crate) fn outputs(reply: &Value) -> &[Value] {
    reply["outputs"].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) async fn python(service: &Service) -> Result<Open> {
    Open::new(service.client(), &json!({})).await
}

async fn state_is_kept_and_results_are_rich() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let reply =
        session.cell("import sys\nx = 20\nprint('out'); print('err', file=sys.stderr)").await?;
    let expected = json!([
        {"output_type": "stream", "name": "stdout", "text": "out\n"},
        {"output_type": "stream", "name": "stderr", "text": "err\n"},
    ]);
    ensure!(reply["status"] == "ok" && reply["outputs"] == expected, "{reply}");
    session.expect("x += 1; x * 2", "42").await?;
    let code =
        "class A:\n def _repr_html_(self): return '<b>a</b>'\n def __repr__(self): return 'a'\nA()";
    let reply = session.cell(code).await?;
    let data = json!({"text/plain": "a", "text/html": "<b>a</b>"});
    ensure!(outputs(&reply)[0]["data"] == data && reply["execution_count"] == 3, "{reply}");
    let reply = session.cell("def f(): return 1 / 0\nf()").await?;
    let error = &outputs(&reply)[0];
    let trace = error["traceback"].to_string();
    ensure!(reply["status"] == "error" && error["ename"] == "ZeroDivisionError", "{reply}");
    ensure!(trace.contains("<cell 4>") && !trace.contains("/box/"), "{trace}");
    let reply =
        session.cell("import subprocess\nsubprocess.run(['echo', 'child'])\ninput()").await?;
    ensure!(outputs(&reply)[0]["text"] == "child\n", "{reply}");
    ensure!(outputs(&reply)[1]["ename"] == "StdinNotImplementedError", "{reply}");
    session.expect("x", "21").await?;
    let code =
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass";
    let reply = session.cell(code).await?;
    ensure!(reply["cpu_time_ms"].as_f64() > Some(250.0), "{reply}");
    session.close().await?;
    service.terminate().await
}

/// What a session's first cell finds around it, as one text.
const AROUND: &str = "import os, sys, threading, signal
main = threading.main_thread()
print(sorted(globals()), sys.argv, sys.path, sorted(os.environ.items()), sys.flags, os.getcwd())
print(os.getuid(), os.getppid(), os.getsid(0) == os.getpid() == main.native_id, main is threading.current_thread())
print([thread.name for thread in threading.enumerate()], sorted(os.listdir('.')), sorted(os.listdir('/tmp')))
print(sorted(os.listdir('/proc/self/fd')), [signal.getsignal(it) for it in (signal.SIGTERM, signal.SIGPIPE)])
print(open('/proc/self/cmdline').read().split(chr(0)), os.sched_getaffinity(0) != set(), __name__)";

async fn a_session_starts_warm_where_another_ended_and_finds_the_same() -> Result<()> {
    let toml = "sessions.open_max = 1\n".to_owned();
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let mut found = Vec::new();
    for is_warm in ["False", "True", "True"] {
        let session = python(&service).await?;
        // What templates load is there, and would not be otherwise.
        session.expect("import sys; 'bisect' in sys.modules", is_warm).await?;
        let reply = session.cell(AROUND).await?;
        ensure!(reply["status"] == "ok", "{reply}");
        found.push(outputs(&reply)[0]["text"].to_string());
        session.cell("left = 1; open('left', 'w').close()").await?;
        // Interrupted and restarted like any other.
        let code =
            "import time\ntry:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  print('told')";
        let reply = session.execute(&json!({"code": code, "wall_time_ms": 300})).await?;
        ensure!(outputs(&reply)[0]["text"] == "told\n", "{reply}");
        session.restart().await?;
        session.expect("'left' in globals()", "False").await?;
        session.close().await?;
    }
    ensure!(found.iter().all(|text| *text == found[0]), "{found:#?}");
    service.terminate().await
}

/// The cell waits for a file that is put there only after its first words have arrived.
async fn a_cell_streams_what_it_says_as_it_comes() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import os, time\nprint('waiting', flush=True)\n\
                while not os.path.exists('go'): time.sleep(0.01)\nprint('went')\n7";
    let mut lines = session.client.stream(&session.at("execute"), &json!({"code": code})).await?;
    let mut seen = Vec::new();
    while let Some(line) = lines.next().await? {
        if line["content"]["text"] == "waiting\n" {
            ensure!(session.info().await?["state"] == "busy", "not busy");
            ensure!(session.put("go", b"").await? == 204, "no file was put");
        }
        seen.push(line);
    }
    let kinds: Vec<&str> = seen.iter().filter_map(|line| line["msg_type"].as_str()).collect();
    let expected = ["status", "stream", "stream", "execute_result", "status", "execute_reply"];
    ensure!(kinds == expected, "{kinds:?}");
    let states = [&seen[0], &seen[4]].map(|line| &line["content"]["execution_state"]);
    ensure!(states == ["busy", "idle"] && seen[5]["content"]["status"] == "ok", "{seen:?}");
    ensure!(seen[5]["content"]["cpu_time_ms"].as_f64() > Some(0.0), "{seen:?}");
    session.close().await?;
    service.terminate().await
}

async fn a_plot_comes_as_an_image() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()";
    let reply = session.cell(code).await?;
    let data = &outputs(&reply)[0]["data"];
    let image = data["image/png"].as_str().with_context(|| format!("{reply}"))?;
    ensure!(image.starts_with("iVBORw0KGgo") && image.len() > 2000, "{reply}");
    ensure!(outputs(&reply)[0]["output_type"] == "display_data", "{reply}");
    // A figure that nobody showed is shown at the end of its cell, once.
    let reply = session.cell("plt.plot([2, 1]); None").await?;
    ensure!(outputs(&reply).len() == 1, "{reply}");
    session.expect("plt.get_fignums()", "[]").await?;
    session.close().await?;
    service.terminate().await
}

async fn a_shell_keeps_its_state() -> Result<()> {
    let service = Service::start().await?;
    let session = Open::new(service.client(), &json!({"language": "bash"})).await?;
    let reply = session.cell("mkdir d; cd d; x='a b'; f() { echo \"f $1\"; }").await?;
    ensure!(reply["status"] == "ok" && outputs(&reply).is_empty(), "{reply}");
    let reply = session.cell("pwd; echo \"$x\"; f 'multi\nline'; echo oh >&2; (exit 3)").await?;
    let text = outputs(&reply).iter().find(|output| output["name"] == "stdout").cloned();
    let text = text.context("nothing was printed")?;
    ensure!(text["text"] == "/w/d\na b\nf multi\nline\n", "{reply}");
    ensure!(reply["status"] == "error" && reply["exit_code"] == 3, "{reply}");
    ensure!(reply.to_string().contains("oh\\n"), "{reply}");
    // It reads nothing, is told of a syntax error, and survives an interrupt with its state.
    let reply = session.cell("cat; read y; if").await?;
    ensure!(reply["exit_code"] == 2, "{reply}");
    let reply = session.execute(&json!({"code": "sleep 1000", "wall_time_ms": 100})).await?;
    ensure!(reply["stopped"] == "wall_time_limit" && reply["state"] == "idle", "{reply}");
    let reply =
        session.execute(&json!({"code": "while :; do :; done", "cpu_time_ms": 100})).await?;
    ensure!(reply["stopped"] == "cpu_time_limit" && reply["state"] == "idle", "{reply}");
    let reply = session.cell("exec 2>/dev/null; echo \"$x\"").await?;
    ensure!(outputs(&reply)[0]["text"] == "a b\n", "{reply}");
    let reply = session.cell("exit 4").await?;
    ensure!(reply["status"] == "aborted" && reply["state"] == "dead", "{reply}");
    session.restart().await?;
    ensure!(outputs(&session.cell("ls").await?)[0]["text"] == "d\n", "files are gone");
    session.close().await?;
    service.terminate().await
}

async fn files_go_up_and_down() -> Result<()> {
    let service = Service::start().await?;
    let request = json!({"files": {"a/b.txt": "early", "c": {"base64": "AP8="}}});
    let session = Open::new(service.client(), &request).await?;
    session
        .expect("open('a/b.txt').read(), open('c', 'rb').read()", "('early', b'\\x00\\xff')")
        .await?;
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    ensure!(session.put("large%20file", &large).await? == 204, "no file was put");
    session.expect("import os; os.path.getsize('large file')", "5000000").await?;
    session.cell("os.symlink('/etc/passwd', 'link'); os.rename('large file', 'a/moved')").await?;
    let reply = session.client.get(&session.at("files/a/moved")).await?;
    ensure!(reply.status == 200 && reply.body == large, "{} bytes", reply.body.len());
    for absent in ["files/link", "files/none", "files/a"] {
        let reply = session.client.get(&session.at(absent)).await?;
        ensure!(reply.status == 404, "{absent}: {}", reply.status);
    }
    let listing = session.client.get(&session.at("files")).await?.ok_json()?;
    let files: Vec<String> = listing["files"]
        .as_array()
        .context("no files")?
        .iter()
        .map(|file| format!("{} {} {}", file["path"], file["kind"], file["bytes"]).replace('"', ""))
        .collect();
    let expected =
        ["a folder null", "a/b.txt file 5", "a/moved file 5000000", "c file 2", "link other null"];
    ensure!(files == expected, "{files:?}");
    for (path, status) in [("a", 409), ("x%2F..%2Fy", 422), ("..%2Fz", 422)] {
        ensure!(session.put(path, b"x").await? == status, "{path}");
    }
    let full = vec![0; 60 << 20];
    let mut statuses = Vec::new();
    for number in 0..3 {
        statuses.push(session.put(&format!("full{number}"), &full).await?);
    }
    ensure!(statuses == [204, 204, 409], "{statuses:?}");
    session.expect("1 + 1", "2").await?;
    session.close().await?;
    service.terminate().await
}

async fn what_makes_no_sense_is_refused() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (body, status) in [
        (json!({"language": "cobol"}), 422),
        (json!({"language": "c"}), 422),
        (json!({"kernel": "no/kernel"}), 422),
        (json!({"kernel": "nowhere"}), 422),
        (json!({"idle_time_ms": 1}), 422),
        (json!({"limits": {"memory_bytes": 1}}), 422),
        (json!({"unknown": 1}), 422),
    ] {
        let reply = client.post("/v1/sessions", &body).await?;
        ensure!(reply.status == status, "{body}: {} {}", reply.status, reply.text());
        ensure!(reply.json()?["error"]["hint"].is_string(), "{}", reply.text());
    }
    let reply = client.post("/v1/sessions/none/execute", &json!({"code": "1"})).await?;
    ensure!(reply.status == 404, "{}", reply.status);
    let session = python(&service).await?;
    for body in [json!({}), json!({"code": "\0"}), json!({"code": "1", "wall_time_ms": 0})] {
        let reply = client.post(&session.at("execute"), &body).await?;
        ensure!(reply.status == 422, "{body}: {} {}", reply.status, reply.text());
    }
    let list = client.get("/v1/sessions").await?.ok_json()?;
    ensure!(list["sessions"].as_array().map(Vec::len) == Some(1), "{list}");
    session.close().await?;
    service.terminate().await
}

async fn a_cell_that_does_not_end_is_interrupted_and_the_session_goes_on() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    session.expect("x = 5; x", "5").await?;
    for (limit, code, stopped) in [
        ("wall_time_ms", "import time\ntime.sleep(1000)", "wall_time_limit"),
        ("wall_time_ms", "print('x')\nwhile True: pass", "wall_time_limit"),
        ("cpu_time_ms", "while True: pass", "cpu_time_limit"),
        (
            "cpu_time_ms",
            "import subprocess\nsubprocess.run('while :; do :; done', shell=True)",
            "cpu_time_limit",
        ),
    ] {
        let reply = session.execute(&json!({"code": code, limit: 200})).await?;
        ensure!(reply["stopped"] == stopped && reply["status"] == "error", "{code}: {reply}");
        let error = outputs(&reply).last().context("no error")?;
        ensure!(error["ename"] == "KeyboardInterrupt", "{code}: {reply}");
        session.expect("x", "5").await?;
    }
    session.close().await?;
    service.terminate().await
}

async fn a_cell_that_cannot_be_interrupted_ends_with_its_interpreter() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n\
                open('kept', 'w').write('k')\nwhile True: pass";
    let reply = session.execute(&json!({"code": code, "wall_time_ms": 200})).await?;
    ensure!(reply["status"] == "aborted" && reply["stopped"] == "wall_time_limit", "{reply}");
    ensure!(reply["state"] == "dead", "{reply}");
    let error = outputs(&reply).last().context("no error")?;
    ensure!(error["ename"] == "DeadKernelError", "{reply}");
    let refused = session.client.post(&session.at("execute"), &json!({"code": "1"})).await?;
    ensure!(refused.status == 409, "{} {}", refused.status, refused.text());
    let listing = session.client.get(&session.at("files")).await?.ok_json()?;
    ensure!(listing["files"][0]["path"] == "kept", "{listing}");
    session.restart().await?;
    session.expect("open('kept').read()", "'k'").await?;
    session.close().await?;
    service.terminate().await
}

async fn a_cell_is_interrupted_and_restarted_at_will() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    session.expect("x = 5; x", "5").await?;
    for part in ["interrupt", "restart"] {
        let request = json!({"code": "import time\nprint('on', flush=True)\ntime.sleep(1000)"});
        let mut lines = session.client.stream(&session.at("execute"), &request).await?;
        let mut last = Value::Null;
        while let Some(line) = lines.next().await? {
            if line["content"]["text"] == "on\n" {
                let reply = session.client.post(&session.at(part), &json!({})).await?;
                ensure!(reply.status / 100 == 2, "{part}: {} {}", reply.status, reply.text());
            }
            last = line;
        }
        let content = &last["content"];
        if part == "interrupt" {
            ensure!(content["stopped"] == "interrupted", "{last}");
            session.expect("x", "5").await?;
        } else {
            ensure!(content["stopped"] == "restarted", "{last}");
            let reply = session.cell("x").await?;
            ensure!(outputs(&reply)[0]["ename"] == "NameError", "{reply}");
        }
    }
    // Without a cell there is nothing to interrupt.
    let reply = session.client.post(&session.at("interrupt"), &json!({})).await?;
    ensure!(reply.status == 202, "{}", reply.status);
    session.expect("1", "1").await?;
    session.close().await?;
    service.terminate().await
}

async fn a_flood_of_output_is_cut_and_the_session_goes_on() -> Result<()> {
    let service = Service::start().await?;
    let request = json!({"limits": {"output_bytes": 100_000}});
    let session = Open::new(service.client(), &request).await?;
    session.expect("import os; x = 5; x", "5").await?;
    for code in [
        "for _ in range(1000): print('x' * 1_000_000)",
        "for _ in range(16_000): os.write(1, b'y' * 65536)",
        "import subprocess\nsubprocess.run('yes', shell=True)",
    ] {
        let reply = session.cell(code).await?;
        ensure!(
            reply["truncated"] == true && reply["state"] == "idle",
            "{code}: {:.2000}",
            reply.to_string()
        );
        ensure!(reply.to_string().len() < 400_000, "{code}: {}", reply.to_string().len());
        session.expect("x", "5").await?;
    }
    let shell = Open::new(service.client(), &json!({"language": "bash"})).await?;
    let reply = shell.cell("x=5; yes").await?;
    ensure!(
        reply["stopped"] == "output_limit" && reply["state"] == "idle",
        "{:.500}",
        reply.to_string()
    );
    ensure!(
        outputs(&shell.cell("echo $x").await?)[0]["text"]
            .as_str()
            .is_some_and(|text| text.ends_with("5\n")),
        "state is lost"
    );
    shell.close().await?;
    session.close().await?;
    service.terminate().await
}

async fn a_dead_interpreter_is_told_of_and_restarted() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    for code in [
        "import os\nprint('last', flush=True)\nos._exit(3)",
        "import os\nprint('last', flush=True)\nos.kill(os.getpid(), 9)",
        "import ctypes\nprint('last', flush=True)\nctypes.string_at(0)",
        "import os\nprint('last', flush=True)\nos.execv('/bin/true', ['true'])",
    ] {
        let reply = session.cell(code).await?;
        ensure!(reply["status"] == "aborted" && reply["stopped"] == "exited", "{code}: {reply}");
        ensure!(outputs(&reply)[0]["text"] == "last\n", "{code}: {reply}");
        ensure!(session.info().await?["reason"] == "exited", "{code}");
        session.restart().await?;
        session.expect("2 + 2", "4").await?;
    }
    session.close().await?;
    service.terminate().await
}

async fn bombs_end_their_own_interpreter_only() -> Result<()> {
    let service = Service::start().await?;
    let limits = json!({"limits": {"memory_bytes": 128 << 20, "pids": 32}});
    let (victim, other) = (Open::new(service.client(), &limits).await?, python(&service).await?);
    other.expect("x = 1; x", "1").await?;
    let reply = victim.cell("x = []\nwhile True: x.append(bytearray(1 << 20))").await?;
    ensure!(reply["stopped"] == "memory_limit" && reply["state"] == "dead", "{reply}");
    victim.restart().await?;
    let fork = "import os\nwhile True:\n try: os.fork()\n except OSError: pass";
    let reply = victim.execute(&json!({"code": fork, "cpu_time_ms": 500})).await?;
    ensure!(reply["stopped"] == "cpu_time_limit", "{reply}");
    let threads = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9e9,)).start()";
    victim.restart().await?;
    let reply = victim.cell(threads).await?;
    ensure!(reply["status"] == "error", "{reply}");
    let files = "n = 0\nwhile True:\n open(str(n), 'w').write('x' * 100)\n n += 1";
    let reply = victim.cell(files).await?;
    ensure!(reply["status"] == "error", "{reply}");
    other.expect("x", "1").await?;
    victim.close().await?;
    other.close().await?;
    let next = python(&service).await?;
    next.expect("import os; len(os.listdir('.'))", "0").await?;
    next.close().await?;
    service.terminate().await
}

async fn a_client_that_goes_away_interrupts_its_cell() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import time\nx = 6\nprint('on', flush=True)\ntime.sleep(1000)";
    let mut lines = session.client.stream(&session.at("execute"), &json!({"code": code})).await?;
    while let Some(line) = lines.next().await? {
        if line["content"]["text"] == "on\n" {
            break;
        }
    }
    drop(lines);
    session.until("idle", |info| info["state"] == "idle").await?;
    session.expect("x", "6").await?;
    session.close().await?;
    service.terminate().await
}

async fn background_work_between_cells_is_bounded() -> Result<()> {
    let service = Service::start().await?;
    let session = python(&service).await?;
    let code = "import threading\ndef spin():\n while True: pass\n\
                threading.Thread(target=spin, daemon=True).start()";
    session.cell(code).await?;
    session.until("dead", |info| info["reason"] == "idle_cpu_time_limit").await?;
    session.restart().await?;
    session.expect("1", "1").await?;
    session.close().await?;
    service.terminate().await
}
