//! Pages of items, as clients ask for them.

use bytes::Bytes;
use steelyard_core::{ApiError, ErrorCode};

use crate::json::{Json, Object};
use crate::openai_responses::state::items::id_of;

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    limit: usize,
    oldest_first: bool,
    after: Option<String>,
}

/// A page has so many unless the client asks for another number, and at most so many (OpenAI's API reference, "List input
/// items").
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

impl List {
    /// By the parameters of the query. What is to be `include`d always is.
    ///
    /// # Errors
    /// A value that is none.
    pub fn of<'a>(query: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, ApiError> {
        let refused = |name: &str, expected: &str| {
            ApiError::new(ErrorCode::InvalidField, format!("`{name}` must be {expected}")).with_param(name)
        };
        let mut list = Self { limit: PAGE, oldest_first: false, after: None };
        for (name, value) in query {
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                    list.limit = limit.ok_or_else(|| refused("limit", "a whole number between 1 and 100"))?;
                }
                "order" => {
                    list.oldest_first = match value {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(refused("order", "asc or desc")),
                    }
                }
                "after" => list.after = Some(value.to_owned()).filter(|id| !id.is_empty()),
                _ => {}
            }
        }
        Ok(list)
    }

    /// At most so many.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the oldest comes first.
    pub fn oldest_first(&self) -> bool {
        self.oldest_first
    }

    /// The item behind which the page begins.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// There is no item behind which the page could begin.
    pub fn after_unknown(&self) -> ApiError {
        let shown: String = self.after().unwrap_or_default().chars().take(80).collect();
        let text = format!("`after` is `{shown}`, which is none of these items");
        ApiError::new(ErrorCode::InvalidField, text).with_param("after")
    }

    /// A page as clients read it; `more`: there are others behind it.
    pub fn written(page: &[Json], more: bool) -> Bytes {
        written(&page.iter().collect::<Vec<_>>(), more)
    }

    /// The page of `items`, which stand oldest first.
    ///
    /// # Errors
    /// `after` is none of them.
    pub fn page(&self, items: &[Json]) -> Result<Bytes, ApiError> {
        let ordered: Vec<&Json> =
            if self.oldest_first { items.iter().collect() } else { items.iter().rev().collect() };
        let from = match &self.after {
            None => 0,
            Some(after) => {
                let place = ordered.iter().position(|item| id_of(item).as_deref() == Some(after));
                place.ok_or_else(|| self.after_unknown())? + 1
            }
        };
        let to = ordered.len().min(from + self.limit);
        Ok(written(&ordered[from..to], to < ordered.len()))
    }
}

fn written(page: &[&Json], more: bool) -> Bytes {
    let id = |item: Option<&&Json>| item.and_then(|item| id_of(item));
    let mut out = Vec::with_capacity(page.iter().map(|item| item.get().len() + 1).sum::<usize>() + 128);
    Object::write(&mut out, |list| {
        list.field("object", "list");
        list.objects("data", page, |object, item| object.members(item));
        list.field("first_id", &id(page.first()));
        list.field("last_id", &id(page.last()));
        list.field("has_more", &more);
    });
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_from_the_newest_or_the_oldest_on() {
        let items: Vec<Json> =
            (0..5).map(|number| Json::parse(format!(r#"{{"id":"m{number}"}}"#)).unwrap()).collect();
        let page = |query: &[(&str, &str)]| {
            let page = List::of(query.iter().copied())?.page(&items)?;
            let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
            let ids: Vec<String> = page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().into())
                .collect();
            assert_eq!(page["first_id"].as_str(), ids.first().map(String::as_str));
            assert_eq!(page["last_id"].as_str(), ids.last().map(String::as_str));
            Ok::<_, ApiError>((ids.join(" "), page["has_more"] == true))
        };
        assert_eq!(page(&[]).unwrap(), ("m4 m3 m2 m1 m0".to_owned(), false));
        assert_eq!(page(&[("limit", "2")]).unwrap(), ("m4 m3".to_owned(), true));
        assert_eq!(
            page(&[("limit", "2"), ("after", "m3"), ("include[]", "x")]).unwrap(),
            ("m2 m1".to_owned(), true)
        );
        assert_eq!(page(&[("order", "asc"), ("after", "m3")]).unwrap(), ("m4".to_owned(), false));
        assert_eq!(page(&[("after", "m0")]).unwrap(), (String::new(), false));
        for (name, value) in
            [("limit", "0"), ("limit", "101"), ("limit", "x"), ("order", "up"), ("after", "m9")]
        {
            assert_eq!(page(&[(name, value)]).unwrap_err().param.as_deref(), Some(name), "{value}");
        }
    }
}
