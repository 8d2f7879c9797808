//! Lists come in pages; the header `Link` leads from one to the next.

use axum::response::Response;
use form_urlencoded::Serializer;
use http::{HeaderValue, header::LINK};

/// Adds a relative link to the page behind `cursor`, with all parameters of this page but its cursor. Without one this page is the last.
pub(crate) fn link(response: &mut Response, path: &str, query: &str, cursor: Option<String>) {
    let Some(cursor) = cursor else { return };
    if let Ok(link) = HeaderValue::try_from(next(path, query, &cursor)) {
        response.headers_mut().insert(LINK, link);
    }
}

fn next(path: &str, query: &str, cursor: &str) -> String {
    let same = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor");
    let query =
        Serializer::new(String::new()).extend_pairs(same).append_pair("cursor", cursor).finish();
    format!("<{path}?{query}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_what_was_asked_for() {
        let query = "search=a%20b&cursor=old&limit=2&created_by=%C3%BC";
        let link = next("/api/musics/", query, "new+/=");
        let expected =
            "</api/musics/?search=a+b&limit=2&created_by=%C3%BC&cursor=new%2B%2F%3D>; rel=\"next\"";
        assert_eq!(link, expected);
    }
}
