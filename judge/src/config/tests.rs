//! What is a configuration, and what is none.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("assay.toml"), text, []).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.program_limits_max(), limits::PROGRAM_LIMITS_MAX);
}

#[test]
fn an_unknown_key_is_refused_with_name_and_line() {
    let error = parse("slots = 1\nslot = 2\n").unwrap_err();
    assert!(error.contains("slot") && error.contains("line 2"), "{error}");
    let error = parse("[admission]\nqueue = 1\n").unwrap_err();
    assert!(error.contains("queue") && error.contains("line 2"), "{error}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for text in [
        "slots = 0",
        "listen = \"nowhere\"",
        "log.format = \"xml\"",
        "limits_max.pids = 0",
        "sessions.open_max = 513",
        "admission.body_bytes_max = 10000000000",
        "admission.batch_submissions_max = 20000",
        "compat.wires = [\"dmoj\"]",
        "compat.sandbox_fusion_retry_status = 200",
        "compat.failure = 1.0",
        "[[judge]]\nname = \"a\"\nurl = \"nowhere\"\nmodel = \"m\"",
        "[[judge]]\nname = \"a b\"\nurl = \"http://x/v1\"\nmodel = \"m\"",
        "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\nvotes = 0",
        "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\ntemprature = 0.1",
        "[[judge]]\nname = \"a\"\nurl = \"http://x/v1\"\nmodel = \"m\"\ncalls.tries_max = 0",
        "[[value_head]]\nname = \"a\"\nurl = \"http://x\"\nshape = \"tgi\"",
        "[[value_head]]\nname = \"a\"\nurl = \"http://x\"\nshape = \"openrlhf\"\nprompt = \"x\"",
    ] {
        assert!(parse(text).is_err(), "{text} was accepted");
    }
}

#[test]
fn reward_models_have_names_of_their_own() {
    let judge = "[[judge]]\nname = \"a\"\nurl = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n";
    assert_eq!(parse(judge).unwrap().judge[0].votes, 1);
    assert!(parse(&judge.repeat(2)).unwrap_err().contains("twice"));
}

#[test]
fn a_limit_can_be_lowered_and_raised() {
    let config = parse("limits_max.memory_bytes = 8589934592").unwrap();
    assert_eq!(config.program_limits_max().memory.0, 8 << 30);
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn tenant(more: &str) -> String {
    format!("[[tenant]]\nname = \"a\"\nkeys = [\"{DIGEST}\"]\n{more}\n")
}

#[test]
fn tenants_are_checked() {
    let config = parse(&tenant("weight = 4\npriority = \"eval\"\nslots_max = 1")).unwrap();
    assert_eq!((config.tenant[0].weight, config.tenant[0].priority), (4, Priority::Eval));
    let same = tenant("") + &tenant("");
    let other = tenant("") + &tenant("").replace("\"a\"", "\"b\"");
    for (text, words) in [
        (tenant("weight = 0"), "weight"),
        (tenant("weight = 1001"), "weight"),
        (tenant("slots_max = 0"), "slots_max"),
        (tenant("burst = 0"), "burst"),
        (tenant("sessions_max = -1"), "sessions_max"),
        (tenant("submissions_per_second = -1.0"), "submissions_per_second"),
        (tenant("submissions_per_second = nan"), "submissions_per_second"),
        (tenant("priority = \"urgent\""), "priority"),
        (tenant("wieght = 1"), "wieght"),
        (tenant("").replace("\"a\"", "\"a b\""), "letters"),
        (tenant("").replace("sha256:0", "sha256:"), "assay key new"),
        (tenant("").replace(&format!("\"{DIGEST}\""), ""), "no key"),
        (same, "twice"),
        (other, "same key"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn what_cannot_change_while_slots_stand_is_kept_and_named() {
    let running = parse("slots = 2\n[admission]\nbody_bytes_max = 1000").unwrap();
    let again = parse("slots = 3\n[admission]\nbody_bytes_max = 2000\n[log]\nfilter = \"x\"");
    let (config, kept) = again.unwrap().while_running(&running);
    assert_eq!(kept, ["slots", "log"]);
    assert_eq!((config.slots.get(), config.admission.body_bytes_max.get()), (2, 2000));
    assert!(running.clone().while_running(&running).1.is_empty());
    // Tenants have parts of what there is room for, not of what there will be.
    let again = parse("slots = 2\nsessions.open_max = 4").unwrap();
    let (config, kept) = again.while_running(&parse("slots = 2").unwrap());
    assert_eq!((kept, config.sessions.open_max), (vec!["sessions"], limits::SESSIONS_MAX));
}

/// Every key stands in the printed default with its value, so each line is tried: as it is, and the
/// examples in comments, too.
#[test]
fn the_printed_default_is_the_default_and_names_every_key() {
    let printed = parse(DEFAULT).unwrap();
    let default = Config::default();
    assert_eq!(format!("{printed:?}"), format!("{default:?}"));
    let is_example = |line: &&str| {
        let rest = line.strip_prefix("# ").unwrap_or_default();
        let key = rest.split(" = ").next().unwrap_or_default();
        rest.starts_with('[')
            || (rest.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let uncommented: Vec<&str> =
        DEFAULT.lines().map(|line| if is_example(&line) { &line[2..] } else { line }).collect();
    let uncommented = uncommented.join("\n");
    let all: toml::Table = toml::from_str(&uncommented).unwrap();
    parse(&uncommented).unwrap();
    // An unknown key makes serde list those that are known.
    for (table, text) in [
        ("", "zzz = 1".to_owned()),
        ("admission", "[admission]\nzzz = 1".to_owned()),
        ("timeouts", "[timeouts]\nzzz = 1".to_owned()),
        ("limits_max", "[limits_max]\nzzz = 1".to_owned()),
        ("sessions", "[sessions]\nzzz = 1".to_owned()),
        ("cache", "[cache]\nzzz = 1".to_owned()),
        ("log", "[log]\nzzz = 1".to_owned()),
        ("tls", "[tls]\nzzz = 1".to_owned()),
        ("batches", "[batches]\nzzz = 1".to_owned()),
        ("compat", "[compat]\nzzz = 1".to_owned()),
        ("tenant", tenant("zzz = 1")),
    ] {
        let error = parse(&text).unwrap_err();
        let known = error.split("expected").nth(1).unwrap_or_default();
        let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(names.len() > 1, "{error}");
        let of = match table {
            "" => &all,
            "tenant" => all["tenant"][0].as_table().unwrap(),
            _ => all[table].as_table().unwrap(),
        };
        for name in names {
            assert!(!table.is_empty() || environment::KEYS.contains(&name), "{name}: KEYS");
            assert!(of.contains_key(name), "{table}.{name} is not in default.toml");
        }
    }
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::parse(Path::new("assay.toml"), text, variables).map_err(|error| error.to_string())
}

#[test]
fn the_environment_comes_after_the_file() {
    let config = with(
        "slots = 2\n[admission]\nbody_bytes_max = 1000\nbodies_bytes_max = 5000",
        &[
            ("ASSAY_LISTEN", "0.0.0.0:9000"),
            ("ASSAY_SLOTS", "7"),
            ("ASSAY_ADMISSION__BODY_BYTES_MAX", "4000"),
            ("ASSAY_LOG__FILTER", "debug"),
            ("ASSAY_TENANT", &format!("[{{name = \"a\", keys = [\"{DIGEST}\"]}}]")),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9000");
    assert_eq!((config.slots.get(), config.log.filter.as_str()), (7, "debug"));
    let admission = &config.admission;
    assert_eq!((admission.body_bytes_max.get(), admission.bodies_bytes_max.get()), (4000, 5000));
    assert_eq!(config.tenant[0].name, "a");
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value) in [
        ("ASSAY_SLOTS", "many"),
        ("ASSAY_SLOTS", "0"),
        ("ASSAY_ADMISSION__BODY_BYTE_MAX", "1"),
        ("ASSAY_ADMISSION", "1"),
        ("ASSAY_LOG__FORMAT", "xml"),
        ("ASSAY_TENANT__NAME", "a"),
    ] {
        let error = with("", &[(name, value)]).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    let error = with("", &[("ASSAY_ADMISSION__BODY_BYTES_MAX", "10000000000")]).unwrap_err();
    assert!(error.contains("bodies_bytes_max"), "{error}");
    // Names that are no key of ours may be anybody's.
    assert!(with("", &[("ASSAY_HOME", "/x"), ("ASSAYLISTEN", "x")]).is_ok());
    assert_eq!(environment::unknown([("ASSAY_HOME".into(), "x".into())]), ["ASSAY_HOME"]);
}
