//! Names and formats of documents.

use std::collections::BTreeSet;

/// The formats of documents, each with its media type (IANA).
const FORMATS: [(&str, &str); 9] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

/// The media type of a format.
pub(super) fn media_type(format: &str) -> Option<&'static str> {
    FORMATS.iter().find(|(known, _)| *known == format).map(|(_, media_type)| *media_type)
}

/// The format of a media type, whatever its parameters, or of a file's name.
pub(super) fn format(media_type: Option<&str>, filename: Option<&str>) -> Option<&'static str> {
    let essence = media_type.map(|media_type| media_type.split(';').next().unwrap_or_default().trim());
    let by_type =
        FORMATS.iter().find(|(_, known)| essence.is_some_and(|essence| essence.eq_ignore_ascii_case(known)));
    by_type
        .or_else(|| {
            let (_, extension) = filename?.rsplit_once('.')?;
            FORMATS.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known))
        })
        .map(|(format, _)| *format)
}

/// The names given so far in a request, which must differ.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// A name as Bedrock takes it, 1 to 200 letters and digits of ASCII, single white space, `-`, `(`, `)`, `[` and
    /// `]`; and none that an earlier document has. The same documents get the same names in each turn, so that
    /// the vendor's cache knows them again.
    pub(super) fn give(&mut self, wanted: Option<&str>) -> String {
        let name = sanitised(wanted.unwrap_or_default());
        let mut given = name.clone();
        let mut number = 2;
        while !self.0.insert(given.clone()) {
            given = format!("{name} ({number})");
            number += 1;
        }
        given
    }
}

fn sanitised(wanted: &str) -> String {
    let mut name = String::new();
    for letter in wanted.chars() {
        let good = letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']');
        match letter {
            letter if good => name.push(letter),
            '.' | '_' => name.push('-'),
            _ if name.ends_with(' ') => {}
            _ => name.push(' '),
        }
    }
    // Room for a number.
    name.truncate(180);
    let name = name.trim();
    if name.is_empty() { "document".to_owned() } else { name.to_owned() }
}

/// The wire's name of a picture's format; none if it has none.
pub(crate) fn picture_format(media_type: &str) -> Option<&'static str> {
    let plain = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match plain.as_str() {
        "image/png" => Some("png"),
        "image/jpeg" | "image/jpg" => Some("jpeg"),
        "image/gif" => Some("gif"),
        "image/webp" => Some("webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_bedrock_takes_and_differ() {
        let mut names = Names::default();
        let mut give = |name: &str| names.give(Some(name));
        assert_eq!(give("Report (final) [2]"), "Report (final) [2]");
        assert_eq!(give("q3_report.v2.pdf"), "q3-report-v2-pdf");
        assert_eq!(give("q3.report.v2.pdf"), "q3-report-v2-pdf (2)");
        assert_eq!(give("q3-report-v2-pdf"), "q3-report-v2-pdf (3)");
        assert_eq!(give("  übung\t\n 1 "), "bung 1");
        assert_eq!(give("秤"), "document");
        assert_eq!(give(&"x".repeat(300)).len(), 180);
        assert_eq!(names.give(None), "document (2)");
    }

    #[test]
    fn a_format_is_known_by_type_or_by_name() {
        assert_eq!(format(Some("text/Markdown; charset=utf-8"), None), Some("md"));
        assert_eq!(format(None, Some("a.b.XLSX")), Some("xlsx"));
        assert_eq!(format(Some("application/octet-stream"), Some("a.csv")), Some("csv"));
        assert_eq!(format(Some("application/zip"), Some("zip")), None);
        for (name, media) in FORMATS {
            assert_eq!((format(Some(media), None), media_type(name)), (Some(name), Some(media)));
        }
    }
}
