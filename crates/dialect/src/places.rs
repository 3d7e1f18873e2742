//! Where a client wrote what the canonical model holds, so that a loss is named in the client's own words.
//!
//! Decoders note the places as they read; encoders name losses by the paths of the canonical model, and
//! [`Places::name`] turns those into the client's.

use std::fmt;

use crate::json::At;

/// The canonical model's name of a field, and the client's.
pub(crate) type Word = (&'static str, &'static str);

/// The places of a request. Any are equal to any others: where a thing was written is no part of what it says.
#[derive(Clone, Default)]
pub struct Places {
    /// The fields that the wire calls otherwise.
    words: &'static [Word],
    /// Those among them that this request writes in another way.
    given: Vec<Word>,
    messages: Vec<Said>,
    tools: Vec<Place>,
    /// The members that no reader knows.
    unread: Vec<String>,
}

#[derive(Clone)]
struct Said {
    at: String,
    parts: Vec<Place>,
}

/// Where a part or a tool stood.
#[derive(Clone)]
pub(crate) struct Place {
    at: String,
    /// The member that holds its members; empty where they stand beside each other.
    inner: &'static str,
    /// Where the parts stood that a tool's result holds.
    inside: Vec<Self>,
    /// Where a tool's cache mark stood.
    mark: Option<String>,
}

impl Place {
    pub(crate) fn new(at: &At<'_>, inner: &'static str) -> Self {
        Self { at: at.to_string(), inner, inside: Vec::new(), mark: None }
    }

    pub(crate) fn holding(self, inside: Vec<Self>) -> Self {
        Self { inside, ..self }
    }

    fn member(&self, rest: &str) -> String {
        if let Some((number, rest)) = numbered(rest, ".content[")
            && let Some(place) = self.inside.get(number)
        {
            return place.member(rest);
        }
        if let Some(mark) = self.mark.as_ref().filter(|_| rest == ".cache") {
            return mark.clone();
        }
        match (rest, self.inner) {
            ("", _) | (_, "") => format!("{}{rest}", self.at),
            (rest, inner) => format!("{}.{inner}{rest}", self.at),
        }
    }
}

impl Places {
    pub(crate) fn new(words: &'static [Word]) -> Self {
        Self { words, ..Self::default() }
    }

    /// This request writes a field in another way than most.
    pub(crate) fn word(&mut self, canonical: &'static str, callers: &'static str) {
        self.given.push((canonical, callers));
    }

    /// The next message of the canonical model, with a place for each of its parts.
    pub(crate) fn message(&mut self, at: &At<'_>, parts: Vec<Place>) {
        self.messages.push(Said { at: at.to_string(), parts });
    }

    /// One more part of the last message.
    pub(crate) fn part(&mut self, place: Place) {
        if let Some(last) = self.messages.last_mut() {
            last.parts.push(place);
        }
    }

    /// The next tool.
    pub(crate) fn tool(&mut self, place: Place) {
        self.tools.push(place);
    }

    /// The last tool's cache mark.
    pub(crate) fn tool_mark(&mut self, at: &At<'_>) {
        if let Some(last) = self.tools.last_mut() {
            last.mark = Some(at.to_string());
        }
    }

    /// The request has members that no reader knows.
    pub(crate) fn leave_unread(&mut self, paths: Vec<String>) {
        self.unread = paths;
    }

    /// The members that no reader knows, so that no wire is told of them.
    pub(crate) fn unread(&self) -> &[String] {
        &self.unread
    }

    fn callers(&self, canonical: &str) -> Option<&'static str> {
        self.given
            .iter()
            .rev()
            .chain(self.words)
            .find(|(word, _)| *word == canonical)
            .map(|(_, callers)| *callers)
    }

    /// A field of the canonical model, as the client wrote it; the same if nobody's wire brought the request.
    pub(crate) fn name(&self, field: &str) -> String {
        if let Some(callers) = self.callers(field) {
            return callers.to_owned();
        }
        if let Some((number, rest)) = numbered(field, "messages[")
            && let Some(said) = self.messages.get(number)
        {
            let part = numbered(rest, ".content[");
            return match part.and_then(|(number, rest)| Some((said.parts.get(number)?, rest))) {
                Some((place, rest)) => place.member(rest),
                None => format!("{}{rest}", said.at),
            };
        }
        if let Some((number, rest)) = numbered(field, "tools[")
            && let Some(tool) = self.tools.get(number)
        {
            return tool.member(rest);
        }
        match field.split_once('.').and_then(|(head, rest)| Some((self.callers(head)?, rest))) {
            Some((head, rest)) => format!("{head}.{rest}"),
            None => field.to_owned(),
        }
    }
}

/// The number after a head, and what follows its bracket.
fn numbered<'a>(text: &'a str, head: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = text.strip_prefix(head)?.split_once(']')?;
    Some((number.parse().ok()?, rest))
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.messages.iter().flat_map(|said| &said.parts);
        f.debug_list().entries(parts.chain(&self.tools).map(|place| &place.at)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_model_becomes_the_clients() {
        let mut places = Places::new(&[("stop", "stop_sequences"), ("metadata", "labels")]);
        let list = At::Root.field("messages");
        let message = list.index(3);
        let content = message.field("content");
        places.message(&At::Root.field("system"), vec![Place::new(&At::Root.field("system"), "")]);
        places.message(&message, vec![Place::new(&content.index(7), "image_url")]);
        let result = content.index(8);
        let held = vec![Place::new(&result.field("content").index(2), "")];
        places.part(Place::new(&result, "").holding(held));
        places.tool(Place::new(&At::Root.field("functions").index(2), "function"));
        places.tool_mark(&At::Root.field("functions").index(3));
        for (canonical, callers) in [
            ("stop", "stop_sequences"),
            ("metadata.a", "labels.a"),
            ("seed", "seed"),
            ("messages", "messages"),
            ("messages[0].content[0]", "system"),
            ("messages[1]", "messages[3]"),
            ("messages[1].name", "messages[3].name"),
            ("messages[1].content[0]", "messages[3].content[7]"),
            ("messages[1].content[0].detail", "messages[3].content[7].image_url.detail"),
            ("messages[1].content[1]", "messages[3].content[8]"),
            ("messages[1].content[1].content[0].detail", "messages[3].content[8].content[2].detail"),
            ("messages[1].content[1].content[4]", "messages[3].content[8].content[4]"),
            ("messages[9].content[0]", "messages[9].content[0]"),
            ("messages[].name", "messages[].name"),
            ("tools[0]", "functions[2]"),
            ("tools[0].strict", "functions[2].function.strict"),
            ("tools[0].cache", "functions[3]"),
        ] {
            assert_eq!(places.name(canonical), callers);
        }
        places.word("stop", "stop");
        assert_eq!(places.name("stop"), "stop", "what this request wrote");
        assert_eq!(Places::default().name("messages[0].content[1]"), "messages[0].content[1]");
    }
}
