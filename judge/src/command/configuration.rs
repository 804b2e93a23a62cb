//! `assay config` and `assay key`: what an operator writes before the service starts.

use std::path::Path;

use judge::api::tls;
use judge::config::{Config, DEFAULT, environment};
use judge::tenants;

use super::{ConfigAction, End, Failed, KeyAction, emit, ours, usage};

/// The variables of the environment that are text.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text)
}

pub(super) fn config(action: &ConfigAction) -> Result<End, Failed> {
    match action {
        ConfigAction::Default => emit(DEFAULT)?,
        ConfigAction::Check { file } => check(file)?,
    }
    Ok(End::Good)
}

/// Reads what a start would read, and says what it comes to.
fn check(file: &Path) -> Result<(), Failed> {
    let config = Config::read(Some(file), variables()).map_err(usage)?;
    let unknown = environment::unknown(variables());
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        return Err(usage(anyhow::anyhow!("environment: {names}: no key is named so")));
    }
    config.read_testlib().map_err(usage)?;
    if let Some(tls) = &config.tls {
        tls::acceptor(tls).map_err(usage)?;
    }
    let tenants: Vec<_> = config.tenant.iter().map(|tenant| tenant.name.as_str()).collect();
    let tenants = if tenants.is_empty() { "none".to_owned() } else { tenants.join(", ") };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let mut text = format!(
        "{} can be used\n  listens on  {scheme}://{}\n  slots       {}\n  tenants     {tenants}\n",
        file.display(),
        config.listen,
        config.slots,
    );
    if let Some(warning) = config.exposure() {
        text += &format!("  warning     {warning}\n");
    }
    emit(&text)
}

pub(super) fn key(action: &KeyAction) -> Result<End, Failed> {
    let KeyAction::New { name } = action;
    let (key, digest) =
        tenants::new_key().map_err(|error| ours(anyhow::anyhow!("random numbers: {error}")))?;
    emit(&format!(
        "The key, which is kept nowhere else:\n\n  {key}\n\nFor the configuration:\n\n\
         [[tenant]]\nname = {name:?}\nkeys = [\"{digest}\"]\n"
    ))?;
    Ok(End::Good)
}
