//! Judge0's numbers of languages. Several numbers mean one language of ours: there is one toolchain
//! of each, and its version is told.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::super::Service;

/// Judge0's numbers, and our names.
const IDS: [(u32, &str); 53] = [
    (46, "bash"),
    (48, "c"),
    (49, "c"),
    (50, "c"),
    (51, "csharp"),
    (52, "cpp"),
    (53, "cpp"),
    (54, "cpp"),
    (56, "d"),
    (57, "elixir"),
    (60, "go"),
    (61, "haskell"),
    (62, "java"),
    (63, "javascript"),
    (64, "lua"),
    (65, "ocaml"),
    (67, "pascal"),
    (68, "php"),
    (71, "python"),
    (72, "ruby"),
    (73, "rust"),
    (74, "typescript"),
    (75, "c"),
    (76, "cpp"),
    (78, "kotlin"),
    (80, "r"),
    (81, "scala"),
    (83, "swift"),
    (85, "perl"),
    (86, "clojure"),
    (90, "dart"),
    (91, "java"),
    (92, "python"),
    (93, "javascript"),
    (94, "typescript"),
    (95, "go"),
    (97, "javascript"),
    (98, "php"),
    (99, "r"),
    (100, "python"),
    (101, "typescript"),
    (102, "javascript"),
    (103, "c"),
    (104, "c"),
    (105, "cpp"),
    (106, "go"),
    (107, "go"),
    (108, "rust"),
    (109, "python"),
    (110, "c"),
    (111, "kotlin"),
    (112, "scala"),
    (113, "python"),
];

/// Our name of a language that Judge0 gives a number.
pub(super) fn name_of(id: u32) -> Option<&'static str> {
    IDS.iter().find(|(theirs, _)| *theirs == id).map(|(_, ours)| *ours)
}

fn described(service: &Service) -> Vec<Value> {
    let known = service.languages.describe().languages;
    let one = |(id, ours): &(u32, &str)| {
        let language = known.iter().find(|it| it.name == *ours && it.available)?;
        let version = language.version.as_deref().unwrap_or("version not asked");
        Some(json!({"id": id, "name": format!("{} ({version})", language.name)}))
    };
    IDS.iter().filter_map(one).collect()
}

pub(super) async fn list(State(service): State<Arc<Service>>) -> axum::Json<Vec<Value>> {
    axum::Json(described(&service))
}

pub(super) async fn one(State(service): State<Arc<Service>>, Path(id): Path<u32>) -> Response {
    match described(&service).into_iter().find(|language| language["id"] == id) {
        Some(language) => axum::Json(language).into_response(),
        None => {
            let error = json!({"error": "language not found, or its toolchain is not here"});
            (StatusCode::NOT_FOUND, axum::Json(error)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Languages;

    #[test]
    fn every_number_is_there_once_and_means_a_language_of_ours() {
        let languages = Languages::resolve(|_| true).unwrap();
        for (at, (id, name)) in IDS.iter().enumerate() {
            assert!(languages.find(name, None).is_ok(), "{name}");
            assert!(!IDS[..at].iter().any(|(before, _)| before == id), "{id}");
        }
    }
}
