//! Sources of a text, both ways: elements of `citations`, and the citation of a `citations_delta`.

use serde_json::value::RawValue;

use crate::chat::{Citation, CitationPlace, Json};
use crate::json::{At, Fields, Object, elements, readable};

/// Those elements of a list that can be read.
pub(crate) fn decode_list(raw: &RawValue, at: &At<'_>) -> Vec<Citation> {
    readable(raw, at, decode)
}

/// One source. None if it is of a kind that nobody knows.
pub(crate) fn decode(raw: &RawValue, at: &At<'_>) -> Option<Citation> {
    let mut fields = Fields::of(raw, at).ok()?;
    let kind = fields.text_or_leave("type")?;
    // The file of a document is told by the document.
    fields.take("file_id");
    let mut count = |name: &str| fields.opt::<u64>(name, "a whole number").ok().flatten();
    let place = match kind.as_str() {
        "char_location" => CitationPlace::Characters {
            document: count("document_index")?,
            start: count("start_char_index")?,
            end: count("end_char_index")?,
        },
        "page_location" => CitationPlace::Pages {
            document: count("document_index")?,
            start: count("start_page_number")?,
            end: count("end_page_number")?,
        },
        "content_block_location" => CitationPlace::Blocks {
            document: count("document_index")?,
            start: count("start_block_index")?,
            end: count("end_block_index")?,
        },
        "search_result_location" => CitationPlace::SearchResult {
            result: count("search_result_index")?,
            start: count("start_block_index")?,
            end: count("end_block_index")?,
            source: fields.text_or_leave("source"),
        },
        "web_search_result_location" => CitationPlace::Web {
            url: fields.text_or_leave("url")?,
            encrypted_index: fields.text_or_leave("encrypted_index").filter(|index| !index.is_empty()),
        },
        _ => return None,
    };
    let title = fields.text_or_leave("title").or_else(|| fields.text_or_leave("document_title"));
    Some(Citation { title, cited_text: fields.text_or_leave("cited_text"), place })
}

/// The web pages of Chat Completions' `annotations`, which tell no words of them.
pub(crate) fn of_annotations(annotations: &Json) -> Vec<Citation> {
    let at = At::Root;
    let page = |raw: &RawValue| {
        let mut annotation = Fields::of(raw, &at).ok()?;
        let mut page = Fields::of(annotation.take("url_citation")?, &at).ok()?;
        let place = CitationPlace::Web { url: page.text_or_leave("url")?, encrypted_index: None };
        Some(Citation { title: page.text_or_leave("title"), cited_text: None, place })
    };
    elements(annotations.raw(), &at).unwrap_or_default().into_iter().filter_map(page).collect()
}

/// Whether a vendor takes the source back: one on the web only with the vendor's own reference.
pub(crate) fn is_replayable(citation: &Citation) -> bool {
    !matches!(citation.place, CitationPlace::Web { encrypted_index: None, .. })
}

/// Writes the members of one source.
pub(crate) fn encode(citation: &Citation, object: &mut Object<'_>) {
    let kind = match citation.place {
        CitationPlace::Web { .. } => "web_search_result_location",
        CitationPlace::Characters { .. } => "char_location",
        CitationPlace::Pages { .. } => "page_location",
        CitationPlace::Blocks { .. } => "content_block_location",
        CitationPlace::SearchResult { .. } => "search_result_location",
    };
    object.field("type", kind);
    object.field("cited_text", citation.cited_text.as_deref().unwrap_or_default());
    let mut document = |index: &u64, [from, to]: [&str; 2], start: &u64, end: &u64| {
        object.field("document_index", index);
        object.field("document_title", &citation.title);
        object.field(from, start);
        object.field(to, end);
    };
    match &citation.place {
        CitationPlace::Characters { document: index, start, end } => {
            document(index, ["start_char_index", "end_char_index"], start, end);
        }
        CitationPlace::Pages { document: index, start, end } => {
            document(index, ["start_page_number", "end_page_number"], start, end);
        }
        CitationPlace::Blocks { document: index, start, end } => {
            document(index, ["start_block_index", "end_block_index"], start, end);
        }
        CitationPlace::Web { url, encrypted_index } => {
            object.field("url", url);
            object.field("title", &citation.title);
            object.field("encrypted_index", encrypted_index.as_deref().unwrap_or_default());
        }
        CitationPlace::SearchResult { source, result, start, end } => {
            object.field("search_result_index", result);
            object.field("source", source.as_deref().unwrap_or_default());
            object.field("title", &citation.title);
            object.field("start_block_index", start);
            object.field("end_block_index", end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_web_pages_become_sources() {
        let list = r#"[{"type":"url_citation","url_citation":{"start_index":0,"end_index":9,"title":"Kiel","url":"https://example.com"}},
            {"type":"file_citation","file_citation":{}},7]"#;
        let found = of_annotations(&Json::parse(list).unwrap());
        assert_eq!(found.len(), 1);
        assert!(!is_replayable(&found[0]));
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&found[0], object));
        let raw: &RawValue = serde_json::from_slice(&out).unwrap();
        let again = decode(raw, &At::Root).unwrap();
        assert_eq!((again.title.as_deref(), again.place), (Some("Kiel"), found[0].place.clone()));
        assert_eq!(of_annotations(&Json::parse("null").unwrap()), []);
    }

    #[test]
    fn a_source_nobody_knows_is_left_out() {
        let list = r#"[{"type":"star_location"},{"type":"char_location","document_index":0},null,
            {"type":"page_location","cited_text":"x","document_index":1,"document_title":"T","start_page_number":2,"end_page_number":3}]"#;
        let found = decode_list(serde_json::from_str(list).unwrap(), &At::Root);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, CitationPlace::Pages { document: 1, start: 2, end: 3 });
    }
}
