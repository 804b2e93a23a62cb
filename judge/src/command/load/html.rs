//! The report as one file that any browser shows: plots drawn here, nothing loaded from elsewhere.

use super::report::{PaceReport, Report, Times};

const STYLE: &str = include_str!("report.css");

/// Width of a plot; its height.
const SIZE: (f64, f64) = (720.0, 180.0);
/// What is left of it for the scale.
const LEFT: f64 = 64.0;
/// What is below it for the scale.
const BELOW: f64 = 20.0;

/// A curve of a plot.
struct Line<'a> {
    name: &'a str,
    class: &'a str,
    points: Vec<(f64, f64)>,
}

/// The whole document.
pub(super) fn html(report: &Report) -> String {
    let pace = match report.pace {
        PaceReport::Closed { concurrency } => format!("{concurrency} requests at a time"),
        PaceReport::Open { per_second, sustainable_per_second: None } => {
            format!("{per_second:.0} submissions a second")
        }
        PaceReport::Open { per_second, sustainable_per_second: Some(sustained) } => {
            format!("{per_second:.0} submissions a second, where {sustained:.0} are sustained")
        }
    };
    let interrupted = if report.interrupted { "; interrupted" } else { "" };
    let mut body = format!(
        "<h1>{}</h1><p>{} &middot; {} at {} &middot; {pace} &middot; {:.0} s{interrupted}</p>{}",
        escape(&report.mix),
        escape(&report.description),
        escape(&report.wire),
        escape(&report.target),
        report.seconds,
        cards(report),
    );
    body.push_str(&plots(report));
    body.push_str(&tables(report));
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>assay load: {}</title><style>{STYLE}</style></head>\
         <body>{body}</body></html>\n",
        escape(&report.mix)
    )
}

fn cards(report: &Report) -> String {
    let ends = &report.submissions;
    let cards = [
        ("a second", format!("{:.1}", report.per_second), ""),
        ("p50", format!("{:.1} ms", report.latency_ms.p50), ""),
        ("p90", format!("{:.1} ms", report.latency_ms.p90), ""),
        ("p99", format!("{:.1} ms", report.latency_ms.p99), ""),
        ("right", ends.right.to_string(), ""),
        ("wrong", ends.wrong.to_string(), mark(ends.wrong)),
        ("not judged", ends.invalid.to_string(), mark(ends.invalid)),
        ("given up", ends.given_up.to_string(), mark(ends.given_up)),
        ("lost", report.lost.to_string(), mark(report.lost)),
        ("429", report.refusals.count.to_string(), ""),
    ];
    let card = |(name, value, class): &(&str, String, &str)| {
        format!("<div class=\"card {class}\"><b>{value}</b><span>{name}</span></div>")
    };
    format!("<div class=\"cards\">{}</div>", cards.iter().map(card).collect::<String>())
}

fn mark(count: u64) -> &'static str {
    if count > 0 { "bad" } else { "" }
}

fn plots(report: &Report) -> String {
    let curve = |name, class, value: fn(&super::report::PointReport) -> f64| Line {
        name,
        class,
        points: report.curve.iter().map(|it| (seconds(it.second), value(it))).collect(),
    };
    let sampled = |name, class, value: fn(&super::watch::Sample) -> Option<u64>| Line {
        name,
        class,
        points: report
            .samples
            .iter()
            .filter_map(|it| Some((it.second, seconds(value(it)?))))
            .collect(),
    };
    let memory = Line {
        name: "memory",
        class: "a",
        points: report
            .samples
            .iter()
            .filter_map(|it| Some((it.second, seconds(it.memory_bytes?) / 1_048_576.0)))
            .collect(),
    };
    [
        plot(
            "Submissions a second",
            &[
                curve("answered", "a", |it| it.per_second),
                curve("refused requests", "b", |it| it.refused_per_second),
                curve("failed requests", "c", |it| it.faults_per_second),
            ],
        ),
        plot(
            "Latency since due, ms",
            &[curve("p50", "a", |it| it.p50_ms), curve("p99", "b", |it| it.p99_ms)],
        ),
        plot(
            "Waiting",
            &[
                sampled("queue of the service", "a", |it| it.queue),
                sampled("slots in use", "b", |it| it.leased),
                sampled("requests without answer", "c", |it| u64::try_from(it.in_flight).ok()),
            ],
        ),
        plot("Memory of the service, MiB", &[memory]),
    ]
    .concat()
}

#[expect(clippy::cast_precision_loss, reason = "a place in a plot")]
fn seconds(value: u64) -> f64 {
    value as f64
}

/// A plot, or nothing where there is nothing to show.
fn plot(title: &str, lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    if points().count() < 2 {
        return String::new();
    }
    let x_max = points().map(|point| point.0).fold(1.0, f64::max);
    let y_max = points().map(|point| point.1).fold(0.0, f64::max).max(1e-9) * 1.05;
    let (width, height) = SIZE;
    let place = |(x, y): &(f64, f64)| {
        let x = LEFT + x / x_max * (width - LEFT - 4.0);
        let y = (height - BELOW) * (1.0 - y / y_max);
        format!("{x:.1},{y:.1}")
    };
    let mut drawn = String::new();
    for part in [0.25, 0.5, 0.75, 1.0] {
        let y = (height - BELOW) * (1.0 - part / 1.05);
        drawn.push_str(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(y_max / 1.05 * part),
        ));
    }
    for part in [0.0, 0.5, 1.0] {
        let (x, anchor) = (LEFT + part * (width - LEFT - 4.0), ["start", "middle", "end"]);
        let anchor = if part < 0.25 { anchor[0] } else { anchor[if part > 0.75 { 2 } else { 1 }] };
        drawn.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{height}\" text-anchor=\"{anchor}\">{} s</text>",
            short(x_max * part)
        ));
    }
    let mut legend = String::new();
    for line in lines.iter().filter(|line| line.points.len() > 1) {
        let places: Vec<String> = line.points.iter().map(place).collect();
        let (class, name) = (line.class, line.name);
        drawn.push_str(&format!("<polyline class=\"{class}\" points=\"{}\"/>", places.join(" ")));
        legend.push_str(&format!("<span class=\"{class}\">{name}</span>"));
    }
    format!(
        "<figure><figcaption>{title} {legend}</figcaption><svg viewBox=\"0 0 {width} {}\" \
         role=\"img\" aria-label=\"{title}\">{drawn}</svg></figure>",
        height + 4.0
    )
}

/// A number for a scale.
fn short(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn tables(report: &Report) -> String {
    let times = |times: &Times| {
        format!("<td>{:.2}<td>{:.2}<td>{:.2}<td>{:.2}", times.p50, times.p90, times.p99, times.max)
    };
    let mut text = String::from(
        "<h2>Items</h2><table><tr><th>item<th>right<th>wrong<th>not judged<th>p50 ms<th>p90<th>p99\
         <th>max</tr>",
    );
    for item in &report.items {
        let hostile = if item.hostile { " (hostile)" } else { "" };
        text.push_str(&format!(
            "<tr><td>{}{hostile}<td>{}<td class=\"{}\">{}<td class=\"{}\">{}{}</tr>",
            escape(&item.name),
            item.right,
            mark(item.wrong),
            item.wrong,
            mark(item.invalid),
            item.invalid,
            times(&item.latency_ms),
        ));
    }
    text.push_str("</table><h2>Answers</h2><table>");
    for (name, count) in &report.answers {
        text.push_str(&format!("<tr><td>{}<td>{count}</tr>", escape(name)));
    }
    text.push_str("</table>");
    if !report.faults.is_empty() {
        text.push_str("<h2>Failed requests</h2><table><tr><th>class<th>count<th>the last</tr>");
        for (class, count) in &report.faults {
            let last = escape(&count.last);
            text.push_str(&format!("<tr><td>{class}<td>{}<td>{last}</tr>", count.count));
        }
        text.push_str("</table>");
    }
    if !report.wrong.is_empty() {
        text.push_str("<h2>Wrong answers</h2><table><tr><th>item<th>text<th>right<th>answer</tr>");
        for wrong in &report.wrong {
            text.push_str(&format!(
                "<tr><td>{}<td>{}<td>{}<td class=\"bad\">{}</tr>",
                escape(&wrong.item),
                escape(&wrong.text),
                wrong.expected.join(" or "),
                escape(&wrong.answer),
            ));
        }
        text.push_str("</table>");
    }
    text
}

/// Text that stays text: part of it comes from the service.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_service_stays_text() {
        assert_eq!(
            escape("<img src='x' & \"y\">"),
            "&lt;img src=&#39;x&#39; &amp; &quot;y&quot;&gt;"
        );
    }

    #[test]
    fn a_plot_holds_its_points_within_its_frame() {
        let line = Line { name: "n", class: "a", points: vec![(0.0, 0.0), (10.0, 5.0)] };
        let svg = plot("t", &[line]);
        assert!(svg.contains("points=\"64.0,160.0 716.0,7.6\""), "{svg}");
        let none = Line { name: "n", class: "a", points: vec![(1.0, 1.0)] };
        assert_eq!(plot("t", &[none]), "");
    }
}
