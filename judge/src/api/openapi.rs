//! The description of the interface, made from the types; `judge/openapi.json` is its golden copy.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Assay",
        description = "Judges untrusted programs and gives rewards that can be trusted.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        super::judge::judge,
        super::judge::run,
        super::batches::begin,
        super::batches::status,
        super::batches::events,
        super::batches::cancel,
        super::sessions::open,
        super::sessions::list,
        super::sessions::show,
        super::sessions::close,
        super::sessions::execute,
        super::sessions::interrupt,
        super::sessions::restart,
        super::sessions::files,
        super::sessions::fetch,
        super::sessions::put,
        super::notebooks::run,
        super::info::languages,
        super::stats::stats,
        super::stats::recent,
        super::info::healthz,
        super::info::readyz,
        super::info::metrics,
        super::info::openapi
    )
)]
struct Description;

/// The description as an OpenAPI document.
#[must_use]
pub fn describe() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with the committed copy. `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_description_is_the_committed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let actual = describe().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &actual).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        assert!(
            golden == actual,
            "the interface changed: run this test with UPDATE_GOLDEN=1 and review the difference"
        );
    }
}
