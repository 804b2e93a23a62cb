//! The operator's page and `/v1/stats`: in a real browser, at a desk and on a phone, before the real
//! service. What programs wrote stays text, and what is hidden stays hidden.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Browser, Client, Screen, Service, ServiceConfig, deadline};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::batches::new_key;
use crate::wire::{ADD, SUBTRACT, add_submission, brief, judge_one, stdio_submission};
use crate::{Needs, named};

/// A folder for pictures of the page, for its documentation.
const SCREENSHOTS: &str = "ASSAY_SCREENSHOTS";
/// How long figures may take to show what happened.
const SHOW_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = named!(
        Needs::Browser,
        "page",
        [
            a_desk_shows_the_figures_and_the_playground_judges,
            a_phone_shows_all_of_it_without_scrolling_sideways,
            what_a_program_wrote_stays_text,
            a_service_of_tenants_asks_for_a_key,
        ]
    );
    trials.extend(named!(
        Needs::Slots,
        "stats",
        [
            the_figures_follow_what_was_judged,
            a_recent_result_tells_no_more_than_its_feedback,
            the_page_allows_nothing_from_elsewhere,
        ]
    ));
    trials
}

async fn a_desk_shows_the_figures_and_the_playground_judges() -> Result<()> {
    look(Screen::Desktop, "desktop").await
}

async fn a_phone_shows_all_of_it_without_scrolling_sideways() -> Result<()> {
    look(Screen::Phone, "phone").await
}

/// Judges in the playground, sees the verdict there, in the list and in its details.
async fn look(screen: Screen, name: &str) -> Result<()> {
    let service = Service::start().await?;
    fill(&service.client()).await?;
    let browser = Browser::start(screen).await?;
    browser.visit(&format!("{}/", service.url())).await?;
    browser.until("document.querySelector('#state').textContent === 'serving'").await?;
    browser.until("document.querySelector('#language').value === 'python'").await?;
    browser.fill("#source", "print(sum(map(int, input().split())))").await?;
    browser.fill("#stdin", "20 22").await?;
    browser.fill("#stdout", "42").await?;
    browser.click("#judge").await?;
    let verdict = "document.querySelector('#play-result .verdict')?.textContent";
    browser.until(&format!("{verdict} === 'accepted'")).await?;
    browser.fill("#stdout", "43").await?;
    browser.click("#judge").await?;
    browser.until(&format!("{verdict} === 'wrong_answer'")).await?;
    browser.click("#run").await?;
    browser.until(&format!("{verdict} === 'exited 0'")).await?;
    // The list has the submissions of the playground; a click tells one whole.
    let row = "[...document.querySelectorAll('#rows tr')].find(\
               row => row.textContent.includes('playground'))";
    browser.until(&format!("Boolean({row})")).await?;
    browser.script(&format!("{row}.click();")).await?;
    browser.until("document.querySelector('#detail pre')?.textContent.includes('42')").await?;
    browser.until("document.querySelectorAll('#layers li').length > 5").await?;
    browser.until("document.querySelector('#plot-rate polyline')?.points.length > 1").await?;
    let wide = "return [document.documentElement.scrollWidth, window.innerWidth];";
    let wide = browser.script(wide).await?;
    ensure!(wide[0].as_u64() <= wide[1].as_u64(), "the page is wider than the screen: {wide}");
    if let Ok(folder) = std::env::var(SCREENSHOTS) {
        let picture = browser.screenshot().await?;
        std::fs::write(format!("{folder}/{name}.png"), picture)?;
    }
    browser.close().await?;
    service.terminate().await
}

/// Judges this and that, so that there is something to see.
async fn fill(client: &Client) -> Result<()> {
    for round in 0..12 {
        let submissions: Vec<Value> = (0..8)
            .map(|number| {
                let id = format!("rollout-{round}-{number}");
                let source = if number % 3 == 2 { SUBTRACT } else { ADD };
                let source = format!("{source}# {round} {number}\n");
                stdio_submission(&id, "python", &source, &[("1 2\n", "3\n"), ("40 2\n", "42\n")])
            })
            .collect();
        client.post("/v1/judge", &json!({"submissions": submissions})).await?.ok_json()?;
    }
    Ok(())
}

/// Goal: what a program prints can never act in the browser of whoever looks at it. Method: a program
/// prints, fails with and is called what would run a script if it were markup.
async fn what_a_program_wrote_stays_text() -> Result<()> {
    const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\"><script>document.title=\
                           'taken'</script>";
    let service = Service::start().await?;
    let source = format!("import sys\nprint({HOSTILE:?})\nsys.exit({HOSTILE:?})\n# {HOSTILE}\n");
    let submission = stdio_submission(HOSTILE, "python", &source, &[("", HOSTILE)]);
    judge_one(&service.client(), &submission).await?;
    let browser = Browser::start(Screen::Desktop).await?;
    browser.visit(&format!("{}/", service.url())).await?;
    browser.until("document.querySelector('#rows tr td.id')?.textContent.includes('<img')").await?;
    browser.click("#rows tr").await?;
    let shown = "[...document.querySelectorAll('#detail pre')].filter(\
                 pre => pre.textContent.includes('<img src=x')).length >= 3";
    browser.until(shown).await?;
    browser.until("document.querySelector('#language').value === 'python'").await?;
    browser.fill("#source", &format!("print({HOSTILE:?})")).await?;
    browser.click("#run").await?;
    let shown = "document.querySelector('#play-result pre')?.textContent.includes('<img src=x')";
    browser.until(shown).await?;
    let made = "return document.querySelectorAll('main img, main script').length;";
    let made = browser.script(made).await?;
    ensure!(made == 0, "{made} nodes were made of what a program wrote");
    let title = browser.script("return document.title;").await?;
    ensure!(title == "Assay", "a program's text acted: {title}");
    browser.close().await?;
    service.terminate().await
}

/// Goal: whoever runs a service with tenants can use the page with a key alone. Method: none, a wrong
/// one, a tenant's, an operator's.
async fn a_service_of_tenants_asks_for_a_key() -> Result<()> {
    let ((user, first), (operator, second)) = (new_key("user")?, new_key("operator")?);
    let toml = format!("{first}{second}operator = true\n");
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let browser = Browser::start(Screen::Phone).await?;
    browser.visit(&format!("{}/", service.url())).await?;
    let asks = "document.querySelector('#key').hidden === false";
    let says =
        |text: &str| format!("document.querySelector('#state').textContent.includes('{text}')");
    browser.until(asks).await?;
    browser.until(&says("401")).await?;
    let enter = async |key: &str| {
        browser.fill("#key-text", key.trim_start_matches("Bearer ")).await?;
        browser.click("#key-use").await
    };
    enter("assay_wrong").await?;
    browser.until(&format!("{asks} && {}", says("401"))).await?;
    // Good for the playground, and not for what concerns all tenants.
    enter(&user).await?;
    browser.until(&format!("{asks} && {}", says("403"))).await?;
    browser.until("document.querySelector('#language').value === 'python'").await?;
    enter(&operator).await?;
    browser.until(&format!("!({asks}) && {}", says("serving"))).await?;
    browser.until("document.querySelectorAll('#layers li').length > 5").await?;
    let kept = "return [document.querySelector('#key-text').value, localStorage.length];";
    let kept = browser.script(kept).await?;
    ensure!(kept == json!(["", 0]), "the key is kept beyond the tab: {kept}");
    browser.close().await?;
    service.terminate().await
}

async fn the_figures_follow_what_was_judged() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    judge_one(&client, &add_submission("first", ADD)).await?;
    judge_one(&client, &add_submission("second", SUBTRACT)).await?;
    let stats = client.get("/v1/stats").await?.ok_json()?;
    ensure!(stats["verdicts"]["accepted"] == 1, "{}", stats["verdicts"]);
    ensure!(stats["verdicts"]["wrong_answer"] == 1, "{}", stats["verdicts"]);
    ensure!(stats["slots"]["slots"] == 2 && stats["queue"]["submissions"] == 0, "{stats}");
    ensure!(stats["recent"][0]["id"] == "second", "{}", stats["recent"]);
    ensure!(stats["recent"][1]["verdict"] == "accepted", "{}", stats["recent"]);
    let stages = stats["stages"].as_array().context("no stages")?;
    let run = stages.iter().find(|stage| stage["stage"] == "run").context("no stage run")?;
    ensure!(run["count"].as_u64() >= Some(3), "{run}");
    ensure!(stats["isolation"].as_array().is_some_and(|layers| layers.len() > 5), "{stats}");
    ensure!(stats["process"]["memory_bytes"].as_u64() > Some(1 << 20), "{}", stats["process"]);
    // The second in which they were judged is told when it is over.
    let seen = deadline::poll_async(SHOW_TIME_MAX, || async {
        let stats = client.get("/v1/stats?recent=0").await.ok()?.ok_json().ok()?;
        let seconds = stats["throughput"]["seconds"].as_array()?;
        let judged: u64 = seconds.iter().filter_map(|second| second["judged"].as_u64()).sum();
        (judged == 2 && stats["recent"] == json!([])).then_some(())
    });
    seen.await.context("the throughput does not show what was judged")?;
    let refused = client.get("/v1/stats?colour=1").await?;
    ensure!(refused.status == 400, "status {}", refused.status);
    service.terminate().await
}

async fn a_recent_result_tells_no_more_than_its_feedback() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let secret = "7193";
    let problem = |hidden: bool| json!({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": secret, "hidden": hidden}]});
    let submission = |feedback: &str, hidden| {
        json!({"id": feedback, "language": "python", "source": format!("{ADD}# {feedback} {hidden}"),
               "feedback": feedback, "problem": problem(hidden)})
    };
    for (feedback, hidden, told) in [
        ("full", false, true),
        ("full", true, false),
        ("verdict", false, false),
        ("none", false, false),
    ] {
        let mut result = judge_one(&client, &submission(feedback, hidden)).await?;
        // Its place in the stream of its reply is no part of what is kept.
        result.as_object_mut().context("no object")?.remove("number");
        let newest = client.get("/v1/stats?recent=1").await?.ok_json()?["recent"][0].clone();
        let path = format!("/v1/stats/recent/{}", newest["number"]);
        let reply = client.get(&path).await?;
        let told_here = reply.text().contains(secret);
        ensure!(told_here == told, "{feedback}, hidden {hidden}: {}", reply.text());
        let kept = reply.ok_json()?;
        ensure!(kept["result"] == result, "{}\nand not\n{}", brief(&kept), brief(&result));
    }
    for path in ["/v1/stats/recent/999999", "/v1/stats/recent/x", "/v1/stats/recent/-1"] {
        let status = client.get(path).await?.status;
        ensure!(status == 404, "{path}: {status}");
    }
    service.terminate().await
}

async fn the_page_allows_nothing_from_elsewhere() -> Result<()> {
    let service = Service::start().await?;
    for (path, content_type) in
        [("/", "text/html"), ("/web/page.css", "text/css"), ("/web/page.js", "text/javascript")]
    {
        let reply = service.client().get(path).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.status);
        let header = |name: &str| {
            reply.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
        };
        ensure!(header("content-type").starts_with(content_type), "{path}");
        ensure!(header("x-content-type-options") == "nosniff", "{path}");
        let policy = header("content-security-policy");
        ensure!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        ensure!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    service.terminate().await
}
