//! Where a text comes from: `Citation` of the service model, in answers, in deltas, and in answers that are sent back.

use serde_json::value::RawValue;

use crate::chat::{Citation, CitationPlace};
use crate::json::{At, Fields, Object, readable};

/// A citation. None if it names no place: the canonical model has no citation of nowhere.
pub(crate) fn decode(raw: &RawValue, at: &At<'_>) -> Option<Citation> {
    let mut fields = Fields::of(raw, at).ok()?;
    let title = fields.text_or_leave("title");
    let source = fields.text_or_leave("source");
    let list = at.field("sourceContent");
    let text = |raw: &RawValue, at: &At<'_>| Fields::of(raw, at).ok()?.text_or_leave("text");
    let words = fields.take("sourceContent").map(|raw| readable(raw, &list, text)).unwrap_or_default();
    let cited_text = (!words.is_empty()).then(|| words.concat());
    let place = place(fields.take("location")?, source, &at.field("location"))?;
    Some(Citation { title, cited_text, place })
}

fn place(raw: &RawValue, source: Option<String>, at: &At<'_>) -> Option<CitationPlace> {
    let mut union = Fields::of(raw, at).ok()?;
    if let Some(raw) = union.take("web") {
        let inner = at.field("web");
        let mut page = Fields::of(raw, &inner).ok()?;
        // The address says it.
        page.take("domain");
        return Some(CitationPlace::Web { url: page.text_or_leave("url")?, encrypted_index: None });
    }
    let mut range = |name: &str, which: &str| {
        let inner = at.field(name);
        let mut fields = Fields::of(union.take(name)?, &inner).ok()?;
        let mut number = |name: &str| fields.count(name, 0, u64::MAX).ok().flatten();
        Some((number(which)?, number("start")?, number("end")?))
    };
    if let Some((document, start, end)) = range("documentChar", "documentIndex") {
        return Some(CitationPlace::Characters { document, start, end });
    }
    if let Some((document, start, end)) = range("documentPage", "documentIndex") {
        return Some(CitationPlace::Pages { document, start, end });
    }
    if let Some((document, start, end)) = range("documentChunk", "documentIndex") {
        return Some(CitationPlace::Blocks { document, start, end });
    }
    let (result, start, end) = range("searchResultLocation", "searchResultIndex")?;
    Some(CitationPlace::SearchResult { source, result, start, end })
}

/// Writes the members of a citation. The reference that Anthropic wants back of a web page has no place here.
pub(crate) fn encode(object: &mut Object<'_>, citation: &Citation) {
    object.opt("title", citation.title.as_ref());
    if let CitationPlace::SearchResult { source, .. } = &citation.place {
        object.opt("source", source.as_ref());
    }
    // Anthropic's wire always has the words, if only none.
    if let Some(text) = citation.cited_text.as_ref().filter(|text| !text.is_empty()) {
        object.objects("sourceContent", [text], |object, text| object.field("text", text));
    }
    let range = |object: &mut Object<'_>, which: &str, numbers: [&u64; 3]| {
        for (name, number) in [which, "start", "end"].into_iter().zip(numbers) {
            object.field(name, number);
        }
    };
    object.object("location", |location| match &citation.place {
        CitationPlace::Web { url, .. } => location.object("web", |web| web.field("url", url)),
        CitationPlace::Characters { document, start, end } => {
            location.object("documentChar", |object| range(object, "documentIndex", [document, start, end]));
        }
        CitationPlace::Pages { document, start, end } => {
            location.object("documentPage", |object| range(object, "documentIndex", [document, start, end]));
        }
        CitationPlace::Blocks { document, start, end } => {
            location.object("documentChunk", |object| range(object, "documentIndex", [document, start, end]));
        }
        CitationPlace::SearchResult { result, start, end, .. } => {
            location.object("searchResultLocation", |object| {
                range(object, "searchResultIndex", [result, start, end]);
            });
        }
    });
}
