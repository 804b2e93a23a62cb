// The operator's page. Whatever programs wrote is text: nodes are made here, markup never is.
"use strict";

const INTERVAL_MS = 2000;
const HISTORY_MAX = 60;
const SVG = "http://www.w3.org/2000/svg";
const history = [];
let paused = false;
let open = null;

const byId = (id) => document.getElementById(id);

/** A node: attributes, then children; texts stay texts. */
function node(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const replace = (id, nodes) => byId(id).replaceChildren(...nodes);
const cells = (...values) => values.map((value) => node("td", {}, String(value)));

/** Asks the service; what it says, or an error that says what went wrong. */
async function ask(path, body) {
  const headers = {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = { headers, cache: "no-store" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  const reply = await fetch(path, options);
  // What tells of all tenants wants an operator's key; another one is good for the playground.
  if (path.startsWith("/v1/stats") || reply.status === 401) byId("key").hidden = reply.status !== 401 && reply.status !== 403;
  const text = await reply.text();
  let value;
  try { value = JSON.parse(text); } catch { value = null; }
  if (!reply.ok) {
    const said = value && value.error ? `${value.error.message}. ${value.error.hint}` : text.slice(0, 300);
    throw new Error(`${reply.status}: ${said}`);
  }
  return value;
}

const fixed = (value, digits) => (value === null || value === undefined ? "–" : Number(value).toFixed(digits));
const mib = (bytes) => (bytes === null ? "–" : `${(bytes / 1048576).toFixed(0)} MiB`);

function since(seconds) {
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 129600) return `${(seconds / 3600).toFixed(0)} h`;
  return `${(seconds / 86400).toFixed(0)} d`;
}

const tone = (verdict) => (verdict === "accepted" ? "good" : verdict === null ? "bad" : "weak");

function drawing(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Lines over the last seconds: [{class, points: [[seconds ago, value]]}]. */
function plot(id, lines, span) {
  const [width, height, left, below] = [420, 136, 40, 16];
  const svg = byId(id);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  const top = Math.max(1, ...values) * 1.08;
  const x = (ago) => left + (1 - ago / span) * (width - left - 4);
  const y = (value) => (height - below) * (1 - value / top);
  const drawn = [];
  for (const part of [0.5, 1]) {
    const value = (top / 1.08) * part;
    drawn.push(drawing("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }));
    const text = value >= 10000 ? `${(value / 1000).toFixed(0)}k` : value >= 10 ? value.toFixed(0) : value.toFixed(1);
    drawn.push(drawing("text", { x: left - 5, y: y(value) + 10, "text-anchor": "end" }, text));
  }
  drawn.push(drawing("text", { x: left, y: height - 2 }, `${span} s ago`));
  drawn.push(drawing("text", { x: width - 4, y: height - 2, "text-anchor": "end" }, "now"));
  for (const line of lines) {
    const places = line.points.filter((point) => point[0] <= span).map(([ago, value]) => `${x(ago).toFixed(1)},${y(value).toFixed(1)}`);
    drawn.push(drawing("polyline", { class: line.class, points: places.join(" ") }));
  }
  svg.replaceChildren(...drawn);
}

function showCards(stats) {
  const last = stats.throughput.seconds[stats.throughput.seconds.length - 1];
  const failures = Object.values(stats.failures).reduce((sum, count) => sum + count, 0);
  const cards = [
    ["a second, last minute", fixed(stats.throughput.per_second, 1)],
    ["p50 of judging", last ? `${fixed(last.p50_ms, 1)} ms` : "–"],
    ["p99 of judging", last ? `${fixed(last.p99_ms, 1)} ms` : "–"],
    ["queued", `${stats.queue.submissions}`],
    ["slots in use", `${stats.slots.leased} of ${stats.slots.slots}`],
    ["refused, queue full", stats.queue.refused],
    ["failures of ours", failures],
    ["memory", mib(stats.process.memory_bytes)],
  ];
  replace("cards", cards.map(([name, value]) => node("div", { class: "card" }, node("b", {}, String(value)), node("span", { class: "dim" }, name))));
}

function showPlots(stats) {
  const span = 120;
  const bySecond = new Map(stats.throughput.seconds.map((second) => [second.ago, second]));
  const counts = (field) => Array.from({ length: span }, (_, at) => [span - at, bySecond.get(span - at)?.[field] ?? 0]);
  plot("plot-rate", [{ class: "a", points: counts("judged") }, { class: "c", points: counts("failed") }], span);
  const times = (field) => stats.throughput.seconds.map((second) => [second.ago, second[field]]);
  plot("plot-time", [{ class: "a", points: times("p50_ms") }, { class: "b", points: times("p99_ms") }], span);
  const now = Date.now();
  history.push({ at: now, queue: stats.queue.submissions, leased: stats.slots.leased });
  if (history.length > HISTORY_MAX) history.shift();
  const seen = (field) => history.map((moment) => [(now - moment.at) / 1000, moment[field]]);
  plot("plot-queue", [{ class: "a", points: seen("queue") }, { class: "b", points: seen("leased") }], span);
}

function showTables(stats) {
  const verdicts = Object.entries(stats.verdicts).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...verdicts.map((entry) => entry[1]));
  replace("verdicts", verdicts.map(([name, count]) => node("div", {}, node("span", {}, name === "none" ? "not judged" : name), node("meter", { min: 0, max: most, value: count }), node("span", {}, String(count)))));
  replace("stages", stats.stages.map((stage) => node("tr", {}, ...cells(stage.stage, stage.count, fixed(stage.p50_ms, 2), fixed(stage.p90_ms, 2), fixed(stage.p99_ms, 2)))));
  replace("caches", stats.caches.map((cache) => node("tr", {}, ...cells(cache.cache, (cache.bytes / 1048576).toFixed(1), cache.kept, cache.shared, cache.found))));
  const tones = { on: "good", degraded: "weak", off: "bad" };
  replace("layers", stats.isolation.map((layer) => node("li", {}, node("b", { class: tones[layer.state] }, layer.state), ` ${layer.name}: `, node("span", { class: "dim" }, [layer.detail, layer.advice].filter(Boolean).join(". ")))));
  const rate = (value) => (value === null ? "not tried yet" : `${(100 * value).toFixed(1)} %`);
  const judges = stats.judges.map((judge) => node("li", {}, node("b", { class: judge.breaker === "closed" ? "good" : "bad" }, judge.judge), ` calls ${judge.breaker === "closed" ? "go" : judge.breaker.replace("_", " ")}; canaries: wrong taken for right ${rate(judge.false_positive_rate)}, right for wrong ${rate(judge.false_negative_rate)}`));
  replace("judges", judges.length ? judges : [node("li", { class: "dim" }, "none configured")]);
}

function showRecent(stats) {
  if (paused) return;
  replace("rows", stats.recent.map((row) => {
    const made = node("tr", { tabindex: 0, class: row.number === open ? "open" : null, "data-number": row.number },
      ...cells(row.number, `${since(row.ago_seconds)} ago`), node("td", { class: "id" }, row.id ?? ""), ...cells(row.language ?? "answer"),
      node("td", { class: tone(row.verdict) }, (row.verdict ?? "not judged") + (row.cached ? " (known)" : "")),
      ...cells(fixed(row.reward, 2), fixed(row.duration_ms, 1)));
    made.addEventListener("click", () => drill(row.number));
    made.addEventListener("keydown", (event) => { if (event.key === "Enter") drill(row.number); });
    return made;
  }));
}

const block = (title, text, truncated) => (text ? [node("h3", {}, title + (truncated ? " (first part)" : "")), node("pre", {}, text)] : []);

function describeTest(test, at) {
  if (test.skipped) return node("details", {}, node("summary", {}, `test ${at + 1}: skipped`));
  const how = test.signal !== null ? `signal ${test.signal}` : test.exit_code !== null ? `exit code ${test.exit_code}` : "stopped";
  const summary = node("summary", {}, `test ${at + 1}${test.name ? ` ${test.name}` : ""}: `, node("b", { class: tone(test.verdict) }, test.verdict ?? "not judged"),
    ` ${fixed(test.cpu_time_ms, 1)} ms cpu, ${fixed(test.wall_time_ms, 1)} ms, ${mib(test.peak_memory_bytes)}, ${how}${test.confirmed ? ", confirmed alone" : ""}`);
  return node("details", { open: test.verdict === "accepted" ? null : "" }, summary, ...block("message", test.message), ...block("standard output", test.stdout, test.stdout_truncated),
    ...block("standard error", test.stderr, test.stderr_truncated), ...block("input", test.input), ...block("expected", test.answer), ...block("conversation", test.transcript));
}

/** A result as nodes: verdict, reward, what went wrong, each test. */
function describeResult(result) {
  const nodes = [node("p", {}, node("b", { class: `verdict ${tone(result.verdict)}` }, result.verdict ?? "not judged"), ` reward ${result.reward === null ? "none" : fixed(result.reward, 3)}${result.cached ? ", known from an equal submission" : ""}`)];
  if (result.failure) nodes.push(node("p", { class: "bad" }, `our failure (${result.failure.class}): ${result.failure.message}`));
  if (result.flags.length) nodes.push(node("p", { class: "weak" }, `flags: ${result.flags.join(", ")}`));
  if (result.answer) nodes.push(...block("answer", JSON.stringify(result.answer, null, 1)));
  if (result.judge) nodes.push(...block("reward model", JSON.stringify(result.judge, null, 1)));
  if (result.components && result.components.length) nodes.push(...block("reward", JSON.stringify(result.components, null, 1)));
  if (result.compile) nodes.push(...block("compiler", [result.compile.message, result.compile.stdout, result.compile.stderr].filter(Boolean).join("\n")));
  nodes.push(...result.tests.map(describeTest));
  return nodes;
}

async function drill(number) {
  open = number;
  const detail = byId("detail");
  detail.hidden = false;
  try {
    const found = await ask(`/v1/stats/recent/${number}`);
    const close = node("button", { class: "second small" }, "Close");
    close.addEventListener("click", () => { detail.hidden = true; open = null; });
    detail.replaceChildren(node("p", { class: "row" }, node("b", {}, `#${number}`), found.summary.id ?? "", close), ...describeResult(found.result), ...block("program or answer", found.source, found.source_truncated));
  } catch (error) {
    detail.replaceChildren(node("p", { class: "bad" }, error.message));
  }
}

function describeRun(run) {
  const ended = run.termination === null ? "not run" : run.termination.kind.replaceAll("_", " ") + (run.termination.code !== undefined ? ` ${run.termination.code}` : "") + (run.termination.signal !== undefined ? ` ${run.termination.signal}` : "");
  const nodes = [node("p", {}, node("b", { class: "verdict" }, ended), ` ${fixed(run.cpu_time_ms, 1)} ms cpu, ${fixed(run.wall_time_ms, 1)} ms, ${mib(run.peak_memory_bytes)}`)];
  if (run.failure) nodes.push(node("p", { class: "bad" }, run.failure.message));
  if (run.compile) nodes.push(...block("compiler", [run.compile.message, run.compile.stdout, run.compile.stderr].filter(Boolean).join("\n")));
  nodes.push(...block("standard output", run.stdout, run.stdout_truncated), ...block("standard error", run.stderr, run.stderr_truncated));
  return nodes;
}

async function play(kind) {
  const [language, source, stdin] = ["language", "source", "stdin"].map((id) => byId(id).value);
  const buttons = [byId("judge"), byId("run")];
  buttons.forEach((button) => { button.disabled = true; });
  byId("play-state").textContent = "running";
  try {
    let nodes;
    if (kind === "run") {
      nodes = describeRun(await ask("/v1/run", { language, source, stdin }));
    } else {
      const tests = [{ stdin, stdout: byId("stdout").value }];
      const reply = await ask("/v1/judge", { id: "playground", language, source, fresh: true, problem: { kind: "stdio", tests } });
      nodes = describeResult(reply.results[0]);
    }
    replace("play-result", [node("div", { class: "result" }, ...nodes)]);
    byId("play-state").textContent = "done";
  } catch (error) {
    replace("play-result", [node("div", { class: "result bad" }, error.message)]);
    byId("play-state").textContent = "failed";
  }
  buttons.forEach((button) => { button.disabled = false; });
}

function state(text, tone) {
  byId("state").textContent = text;
  byId("state").className = `state ${tone}`;
}

async function refresh() {
  if (document.hidden) return;
  try {
    const stats = await ask("/v1/stats?seconds=120&recent=50");
    state("serving", "good");
    byId("version").textContent = `${stats.version}, up ${since(stats.uptime_seconds)}`;
    showCards(stats);
    showPlots(stats);
    showTables(stats);
    showRecent(stats);
  } catch (error) {
    state(error instanceof TypeError ? "not reachable" : error.message, "bad");
  }
}

async function listLanguages() {
  const { languages } = await ask("/v1/languages");
  const usable = languages.filter((language) => language.available);
  replace("language", usable.map((language) => node("option", { value: language.name }, language.name)));
  if (usable.some((language) => language.name === "python")) byId("language").value = "python";
}

async function begin() {
  await refresh();
  try { await listLanguages(); } catch { /* the state says what is wrong */ }
}

byId("judge").addEventListener("click", () => play("judge"));
byId("run").addEventListener("click", () => play("run"));
byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.textContent = paused ? "Go on" : "Pause";
});
byId("key-use").addEventListener("click", () => {
  sessionStorage.setItem("key", byId("key-text").value);
  byId("key-text").value = "";
  begin();
});
setInterval(refresh, INTERVAL_MS);
begin();
