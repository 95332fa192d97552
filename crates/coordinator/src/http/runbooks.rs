//! `/runbooks`: what to do about alerts, for who follows the link of one. The pages are part of the program.

use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use spec::runbooks::{self, Page};

/// Lines no longer than people like to read, also where it is read: on a telephone.
const STYLE: &str = "body{max-width:48em;margin:1em auto;padding:0 1em;font:1em/1.5 sans-serif}\
                     main{white-space:pre-wrap}";

/// The names of all pages.
pub(super) async fn list(headers: HeaderMap) -> Response {
    let pages = runbooks::pages().iter();
    let lines = pages.map(|page| format!("- [{0}](runbooks/{0})\n", page.file));
    show(&headers, "Runbooks", &lines.collect::<String>())
}

/// One page.
pub(super) async fn page(headers: HeaderMap, Path(name): Path<String>) -> Response {
    match runbooks::page(&name) {
        Some(Page { file, text }) => show(&headers, file, text),
        None => super::not_found().await,
    }
}

/// Markdown, or for a browser, which would offer that for download, the same text with its links.
fn show(headers: &HeaderMap, title: &str, text: &str) -> Response {
    let accepted = headers.get(header::ACCEPT).map(|value| value.as_bytes());
    let is_browser = accepted.is_some_and(|it| it.windows(9).any(|part| part == b"text/html"));
    if !is_browser {
        let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
        return (kind, text.to_owned()).into_response();
    }
    let text = linked(&escaped(text));
    Html(format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style><main>{text}</main></html>\n"
    ))
    .into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `[words](address)` as links.
fn linked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link, after)) = next_link(rest) {
        out.push_str(before);
        let (words, address) = link;
        out.push_str(&format!("<a href=\"{address}\">{words}</a>"));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What stands before the first link, its words and address, and what stands after it.
fn next_link(text: &str) -> Option<(&str, (&str, &str), &str)> {
    let (before, after) = text.split_once("](")?;
    let (before, words) = before.rsplit_once('[')?;
    let (address, after) = after.split_once(')')?;
    Some((before, (words, address), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_links_and_nothing_else_is_markup() {
        let text = "see [A.md](A.md), `x[5m] > 1` & <b> [B](B.md)\n";
        assert_eq!(
            linked(&escaped(text)),
            "see <a href=\"A.md\">A.md</a>, `x[5m] &gt; 1` &amp; &lt;b&gt; <a href=\"B.md\">B</a>\n"
        );
        assert_eq!(linked("x[5m](no link"), "x[5m](no link");
    }
}
