//! What is sent: items with a weight each, and the right verdict of each.
//!
//! An item is a submission as the service takes it. Which item a number draws, and which text it
//! gets, depends on the number alone, so that every run of a mix sends the same work.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, anyhow, ensure};
use judge::problem::folder;
use protocol::{Problem, Submission, Verdict};
use serde::Deserialize;
use serde_json::Value;

use super::limits::{BATCH_MAX, ITEMS_MAX, PAD_BYTES_MAX};

const BUILT_IN: [(&str, &str); 7] = [
    ("python-print", include_str!("mixes/python-print.toml")),
    ("aplusb-10", include_str!("mixes/aplusb-10.toml")),
    ("cpp-10", include_str!("mixes/cpp-10.toml")),
    ("rl-duplicates", include_str!("mixes/rl-duplicates.toml")),
    ("languages", include_str!("mixes/languages.toml")),
    ("hostile", include_str!("mixes/hostile.toml")),
    ("soak", include_str!("mixes/soak.toml")),
];

/// Stands where the number of a text is put.
const MARK: &str = "ASSAY-LOAD-NUMBER";

/// A mix.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) name: String,
    pub(super) description: String,
    /// Submissions of one request.
    pub(super) batch: usize,
    pub(super) items: Vec<Item>,
    weights: u64,
}

/// One kind of work.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) hostile: bool,
    pub(super) expect: Vec<Verdict>,
    pub(super) submission: Submission,
    /// How many in a row have the same text; 0 where all have.
    copies: u64,
    sent: AtomicU64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixFile {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    batch: Option<usize>,
    item: Vec<ItemFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemFile {
    #[serde(default)]
    name: String,
    weight: Option<u32>,
    #[serde(default)]
    hostile: bool,
    copies: Option<u64>,
    #[serde(default)]
    pad_bytes: usize,
    comment: Option<String>,
    expect: Expect,
    submission: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expect {
    One(Verdict),
    Any(Vec<Verdict>),
}

/// A test of a problem of kind `stdio`: its input, and what must come out.
pub(super) type Case<'a> = (&'a str, &'a str);

impl Mix {
    /// The mix that is called `name`, or stands in the file of that name.
    pub(super) fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse_toml(text).with_context(|| format!("the mix {name}"));
        }
        let path = Path::new(name);
        let names = || BUILT_IN.map(|(name, _)| name).join(", ");
        ensure!(path.exists(), "there is no mix and no file {name:?}; mixes: {}", names());
        let text = folder::read_text(path)?;
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        let mut mix = if is_toml { Self::parse_toml(&text) } else { Self::parse_lines(&text) }
            .with_context(|| name.to_owned())?;
        if mix.name.is_empty() {
            name.clone_into(&mut mix.name);
        }
        Ok(mix)
    }

    fn parse_toml(text: &str) -> anyhow::Result<Self> {
        Self::checked(toml::from_str(text)?)
    }

    /// A mix of one item a line, as JSON.
    fn parse_lines(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let item = |(number, line): (usize, &str)| {
            serde_json::from_str(line).with_context(|| format!("line {}", number + 1))
        };
        let item = lines.map(item).collect::<anyhow::Result<_>>()?;
        let (name, description) = (String::new(), String::new());
        Self::checked(MixFile { name, description, batch: None, item })
    }

    fn checked(file: MixFile) -> anyhow::Result<Self> {
        let batch = file.batch.unwrap_or(1);
        ensure!((1..=BATCH_MAX).contains(&batch), "batch must be 1 to {BATCH_MAX}, not {batch}");
        let count = file.item.len();
        ensure!((1..=ITEMS_MAX).contains(&count), "a mix has 1 to {ITEMS_MAX} items, not {count}");
        let checked = |(at, item): (usize, ItemFile)| {
            let name = format!("item {} {:?}", at + 1, item.name);
            Item::checked(item).with_context(|| name)
        };
        let items: Vec<Item> =
            file.item.into_iter().enumerate().map(checked).collect::<anyhow::Result<_>>()?;
        let weights = items.iter().map(|item| u64::from(item.weight)).sum();
        ensure!(weights > 0, "the weights of all items are 0");
        Ok(Self { name: file.name, description: file.description, batch, items, weights })
    }

    /// Which item the submission of this number is.
    pub(super) fn draw(&self, number: u64) -> usize {
        let mut rest = scatter(number) % self.weights;
        let drawn = self.items.iter().position(|item| {
            let weight = u64::from(item.weight);
            let here = rest < weight;
            rest = rest.saturating_sub(weight);
            here
        });
        drawn.unwrap_or_default()
    }
}

impl Item {
    fn checked(file: ItemFile) -> anyhow::Result<Self> {
        // By way of text, as it will travel: errors name the field.
        let text = file.submission.to_string();
        let mut reader = serde_json::Deserializer::from_str(&text);
        let mut submission: Submission = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| anyhow!("submission: {error}"))?;
        let expect = match file.expect {
            Expect::One(verdict) => vec![verdict],
            Expect::Any(verdicts) => verdicts,
        };
        ensure!(!expect.is_empty(), "expect: at least one verdict is needed");
        ensure!(file.pad_bytes <= PAD_BYTES_MAX, "pad_bytes: at most {PAD_BYTES_MAX}");
        let copies = file.copies.unwrap_or(1);
        if let Some(source) = submission.source.as_mut() {
            let comment = file.comment.or_else(|| comment_of(submission.language.as_deref()));
            let comment = comment.context("comment: say what starts one in this language")?;
            let mark = if copies == 0 { "padding" } else { MARK };
            let pad = "x".repeat(file.pad_bytes);
            source.push_str(&format!("\n{comment} {mark} {pad}\n"));
        } else {
            ensure!(copies == 0, "copies: only a `source` can be varied; set copies = 0");
        }
        Ok(Self {
            name: file.name,
            weight: file.weight.unwrap_or(1),
            hostile: file.hostile,
            expect,
            submission,
            copies,
            sent: AtomicU64::new(0),
        })
    }

    /// The number of the next text; those in a row that shall be equal get the same.
    pub(super) fn next_text(&self) -> u64 {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        sent.checked_div(self.copies).unwrap_or_default()
    }

    /// Whether `verdict` is right.
    pub(super) fn is_right(&self, verdict: Verdict) -> bool {
        self.expect.contains(&verdict)
    }

    /// Language, source and tests, where it is a program with tests of input and output: what other
    /// services understand.
    pub(super) fn program(&self) -> Option<(&str, &str, Vec<Case<'_>>)> {
        let Problem::Stdio(problem) = &self.submission.problem else {
            return None;
        };
        let language = self.submission.language.as_deref()?;
        let cases = problem.tests.iter();
        let cases = cases.map(|test| (test.stdin.as_str(), test.stdout.as_str())).collect();
        Some((language, self.submission.source.as_deref()?, cases))
    }
}

/// JSON with places for a number.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<String>);

impl Template {
    /// Of a value whose texts hold the mark.
    pub(super) fn of(value: &Value) -> Self {
        Self(value.to_string().split(MARK).map(str::to_owned).collect())
    }

    /// Appends the JSON with `text` in all places.
    pub(super) fn render(&self, text: &str, into: &mut String) {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                into.push_str(text);
            }
            into.push_str(part);
        }
    }
}

/// What starts a comment in a language.
fn comment_of(language: Option<&str>) -> Option<String> {
    let comment = match language? {
        "python" | "python3" | "py" | "bash" | "sh" | "ruby" | "perl" | "r" | "julia" => "#",
        "c" | "cpp" | "c++" | "java" | "javascript" | "js" | "node" | "typescript" | "rust"
        | "go" | "csharp" | "kotlin" | "swift" | "d" | "dart" | "scala" | "php" => "//",
        "lua" | "haskell" | "ada" => "--",
        _ => return None,
    };
    Some(comment.to_owned())
}

/// Spreads numbers over all 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_mix_can_be_read_and_draws_by_weight() {
        for (name, _) in BUILT_IN {
            let mix = Mix::find(name).unwrap();
            assert_eq!(mix.name, name);
            assert!(!mix.description.is_empty(), "{name}");
            let mut drawn = vec![0_u64; mix.items.len()];
            let count = 100 * mix.weights;
            (0..count).for_each(|number| drawn[mix.draw(number)] += 1);
            for (item, drawn) in mix.items.iter().zip(drawn) {
                let due = 100 * u64::from(item.weight);
                assert!(drawn.abs_diff(due) <= due / 2 + 20, "{name} {}: {drawn}", item.name);
            }
        }
    }

    #[test]
    fn the_soak_is_hostile_to_five_in_a_hundred() {
        for name in ["soak", "hostile"] {
            let mix = Mix::find(name).unwrap();
            let hostile = mix.items.iter().filter(|item| item.hostile);
            let hostile: u64 = hostile.map(|item| u64::from(item.weight)).sum();
            assert_eq!(hostile * 20, mix.weights);
        }
    }

    #[test]
    fn texts_differ_as_often_as_they_should() {
        let mix = |copies: u64| {
            let line = format!(
                r#"{{"copies":{copies},"expect":"accepted","submission":{{"language":"python",
                "source":"x","problem":{{"kind":"stdio","tests":[{{"stdout":"1"}}]}}}}}}"#
            );
            Mix::parse_lines(&line.replace('\n', " ")).unwrap()
        };
        let texts = |copies| -> Vec<u64> {
            let mix = mix(copies);
            (0..5).map(|_| mix.items[0].next_text()).collect()
        };
        assert_eq!(texts(1), [0, 1, 2, 3, 4]);
        assert_eq!(texts(2), [0, 0, 1, 1, 2]);
        assert_eq!(texts(0), [0; 5]);
        let value = serde_json::to_value(&mix(1).items[0].submission).unwrap();
        let mut text = String::new();
        Template::of(&value).render("7-3", &mut text);
        let back: Submission = serde_json::from_str(&text).unwrap();
        assert_eq!(back.source.unwrap().trim_end(), "x\n# 7-3");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let error = |text: &str| format!("{:#}", Mix::parse_toml(text).unwrap_err());
        let item = |more: &str| {
            format!(
                "[[item]]\nname = \"a\"\nexpect = \"accepted\"\n{more}\n[item.submission]\n\
                 language = \"python\"\nsource = \"x\"\nproblem = {{ kind = \"stdio\", tests = [] }}"
            )
        };
        assert!(error("item = []").contains("1 to"));
        assert!(error(&item("colour = 1")).contains("colour"));
        assert!(error(&format!("batch = 0\n{}", item(""))).contains("batch"));
        assert!(error(&item("weight = 0")).contains("weights"));
        let wrong = item("").replace("source = ", "sauce = ");
        assert!(error(&wrong).contains("sauce"), "{}", error(&wrong));
        let unknown = item("").replace("\"python\"", "\"intercal\"");
        assert!(error(&unknown).contains("comment"));
        assert!(format!("{:#}", Mix::find("no-such").unwrap_err()).contains("python-print"));
    }
}
