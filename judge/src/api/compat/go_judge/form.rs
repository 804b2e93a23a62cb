//! The file in a form (`multipart/form-data`, RFC 7578): the one part named `file`.

use bytes::Bytes;

use super::super::super::error::ApiError;

/// A file as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its name.
    pub(super) name: String,
    /// What is in it.
    pub(super) content: Bytes,
}

/// Takes the file out of a form.
///
/// # Errors
/// It is no form, or has no file.
pub(super) fn file(content_type: &str, body: &[u8]) -> Result<Sent, ApiError> {
    let boundary =
        boundary(content_type).ok_or_else(|| wrong("the body is no form with a boundary"))?;
    let mark = [b"--", boundary.as_bytes()].concat();
    let end = [b"\r\n", &mark[..]].concat();
    let mut rest = body;
    while let Some(at) = find(rest, &mark) {
        rest = &rest[at + mark.len()..];
        let Some(part) = rest.strip_prefix(b"\r\n") else { break };
        let head_end =
            find(part, b"\r\n\r\n").ok_or_else(|| wrong("a part has no end of its head"))?;
        let (head, content) = (&part[..head_end], &part[head_end + 4..]);
        let length = find(content, &end).ok_or_else(|| wrong("a part has no end"))?;
        let head = String::from_utf8_lossy(head);
        if parameter(&head, "name").as_deref() == Some("file") {
            let name = parameter(&head, "filename").unwrap_or_default();
            return Ok(Sent { name, content: Bytes::copy_from_slice(&content[..length]) });
        }
        rest = &content[length..];
    }
    Err(wrong("the form has no part named \"file\""))
}

fn wrong(message: &str) -> ApiError {
    ApiError::unprocessable(
        "invalid_form",
        message,
        "post multipart/form-data with a part \"file\"",
    )
}

fn boundary(content_type: &str) -> Option<String> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let boundary = parameter(rest, "boundary")?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The value of a parameter, in quotes or not.
fn parameter(text: &str, name: &str) -> Option<String> {
    let of = |part: &str| {
        let (key, value) = part.trim().split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    };
    text.split([';', '\r', '\n']).find_map(of)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // Looking for the first byte alone is what makes this fast enough for large files.
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    #[test]
    fn the_file_is_found_among_other_parts() {
        let body =
            b"preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"b.txt\"\r\n\
            Content-Type: text/plain\r\n\r\nx\r\n--X\r\n--XX--\r\n";
        let sent = file(TYPE, body).unwrap();
        assert_eq!((&*sent.name, &sent.content[..]), ("b.txt", &b"x\r\n--X"[..]));
        let quoted = file("multipart/form-data; boundary=\"XX\"", body).unwrap();
        assert_eq!(quoted, sent);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let head = b"--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        for (kind, body) in [
            ("application/json", &b"{}"[..]),
            ("multipart/form-data", b""),
            ("multipart/form-data; boundary=", b""),
            (TYPE, b""),
            (TYPE, b"--XX--"),
            (TYPE, b"--XX\r\nname=file"),
            (TYPE, head),
            (TYPE, b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX--"),
        ] {
            assert_eq!(file(kind, body).unwrap_err().code, "invalid_form", "{kind}");
        }
    }
}
