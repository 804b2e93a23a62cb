//! `assay languages` and `assay preflight`.

use judge::language::Languages;
use sandbox::Image;
use sandbox::image::Store;
use sandbox::preflight::{self, Layer, State};
use serde_json::json;

use super::table::Table;
use super::{End, Failed, OutputArgs, emit, engine, ours};

pub(super) fn languages(args: &OutputArgs) -> Result<End, Failed> {
    let image = Image::host().map_err(ours)?;
    let languages = engine::languages(&image, &Store::of_caller(), false)?;
    emit(&if args.json { languages_json(&languages)? } else { languages_table(&languages) })?;
    Ok(End::Good)
}

fn languages_json(languages: &Languages) -> Result<String, Failed> {
    Ok(serde_json::to_string_pretty(&languages.describe()).map_err(ours)? + "\n")
}

fn languages_table(languages: &Languages) -> String {
    let mut table = Table::new(["language", "images", "problem kinds", "also called"]);
    let mut reasons = Vec::new();
    for language in languages.describe().languages {
        let images =
            if language.available { language.images.join(", ") } else { "none".to_owned() };
        let (kinds, aliases) = (language.problem_kinds.join(", "), language.aliases.join(", "));
        if let Some(reason) = language.reason {
            reasons.push(format!("{}: {reason}\n", language.name));
        }
        table.push([language.name, images, kinds, aliases]);
    }
    format!("{table}{}", reasons.concat())
}

pub(super) fn preflight(args: &OutputArgs) -> Result<End, Failed> {
    let layers = preflight::preflight();
    let text = if args.json {
        let layers: Vec<_> = layers.iter().map(layer_json).collect();
        serde_json::to_string_pretty(&json!({ "layers": layers })).map_err(ours)? + "\n"
    } else {
        layers_table(&layers)
    };
    emit(&text)?;
    let unfit = layers.iter().any(|layer| layer.state == State::Off);
    Ok(if unfit { End::Failed } else { End::Good })
}

fn layer_json(layer: &Layer) -> serde_json::Value {
    json!({
        "name": layer.name,
        "state": state_name(layer.state),
        "detail": layer.detail,
        "advice": layer.advice,
    })
}

fn layers_table(layers: &[Layer]) -> String {
    let mut table = Table::new(["layer", "state", "found"]);
    let mut advice = Vec::new();
    for layer in layers {
        let state = state_name(layer.state).to_owned();
        table.push([layer.name.to_owned(), state, layer.detail.clone()]);
        if !layer.advice.is_empty() {
            advice.push(format!("{}: {}\n", layer.name, layer.advice));
        }
    }
    if advice.is_empty() {
        return format!("{table}This host is fit.\n");
    }
    let is_off = |layer: &Layer| layer.state == State::Off;
    let runs_modules = |layer: &Layer| layer.name == preflight::MODULES && layer.state == State::On;
    if layers.iter().any(is_off) && layers.iter().any(runs_modules) {
        let modules = "`assay serve --wasm-only` runs WebAssembly modules alone";
        advice.push(format!("as it is: {modules}\n"));
    }
    format!("{table}What to do:\n{}", advice.concat())
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::On => "on",
        State::Degraded => "degraded",
        State::Off => "off",
    }
}
