//! The operator's page: a document, a style and a program of this binary. Nothing is loaded from
//! elsewhere, and the browser is told to load nothing from elsewhere.
//!
//! The files hold no data; what they show they ask `/v1/stats` for, with a key where keys are needed.

use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

/// Scripts and styles of this service only, no frames, no forms, no inline code: what a program
/// wrote cannot act even where it were taken for a document.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type File = ([(HeaderName, &'static str); 6], &'static str);

fn file(content_type: &'static str, text: &'static str) -> File {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// The document.
pub(super) async fn index() -> File {
    file("text/html; charset=utf-8", include_str!("../../web/index.html"))
}

/// Its style.
pub(super) async fn style() -> File {
    file("text/css; charset=utf-8", include_str!("../../web/page.css"))
}

/// Its program.
pub(super) async fn script() -> File {
    file("text/javascript; charset=utf-8", include_str!("../../web/page.js"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_makes_no_markup_of_text() {
        let (page, script) =
            (include_str!("../../web/index.html"), include_str!("../../web/page.js"));
        let style = include_str!("../../web/page.css");
        for text in [page, script, style] {
            // The one address that is none: the name space of drawings.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("//cdn"));
        }
        for inner in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(inner), "{inner}");
        }
        assert!(!page.contains("style=") && !page.contains("onclick"), "the policy forbids it");
    }
}
