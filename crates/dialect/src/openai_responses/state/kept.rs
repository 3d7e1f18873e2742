//! What was put into a request whose state is kept here.

use steelyard_core::ApiError;

use crate::loss::Loss;

/// What stands before the items that the caller sent: faults and losses count from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Items that were put before the caller's own.
    pub(crate) prior: usize,
    /// The field that asked for them.
    pub(crate) field: &'static str,
    /// Whether the caller's own was a text and became an item.
    pub(crate) text: bool,
}

impl Kept {
    /// A text in which items are named as the caller wrote them: `input[7].content` is `input[1].content` behind six that
    /// came before, and what is wrong with one of those is so with the field that asked for them.
    pub fn named(&self, text: &str) -> String {
        const LIST: &str = "input[";
        let is_path = |byte: char| byte.is_ascii_alphanumeric() || matches!(byte, '_' | '.' | '[' | ']');
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(LIST) {
            let (before, found) = rest.split_at(at);
            let digits = &found[LIST.len()..];
            let end = digits.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(digits.len());
            let index = digits[..end].parse::<usize>().ok().filter(|_| digits[end..].starts_with(']'));
            let Some(index) = index.filter(|_| !before.ends_with(is_path)) else {
                out.push_str(before);
                out.push_str(LIST);
                rest = digits;
                continue;
            };
            let after = &digits[end + 1..];
            let path = after.find(|byte| !is_path(byte)).unwrap_or(after.len());
            out.push_str(before);
            match index.checked_sub(self.prior) {
                None => {
                    out.push_str(self.field);
                    rest = &after[path..];
                }
                Some(_) if self.text => {
                    out.push_str("input");
                    rest = &after[path..];
                }
                Some(index) => {
                    out.push_str(LIST);
                    out.push_str(&index.to_string());
                    out.push(']');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// An error that names what the caller wrote.
    #[must_use]
    pub fn error(&self, mut error: ApiError) -> ApiError {
        error.public = self.named(&error.public);
        error.param = error.param.map(|param| self.named(&param));
        error
    }

    /// Losses that name what the caller wrote, each once.
    #[must_use]
    pub fn losses(&self, losses: Vec<Loss>) -> Vec<Loss> {
        let mut named: Vec<Loss> = Vec::with_capacity(losses.len());
        for loss in losses {
            let loss = Loss { field: self.named(&loss.field), ..loss };
            if !named.contains(&loss) {
                named.push(loss);
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steelyard_core::ErrorCode;

    #[test]
    fn items_are_named_as_the_caller_wrote_them() {
        let kept = |text| Kept { prior: 2, field: "previous_response_id", text };
        for (text, written, said) in [
            (false, "input[3].content[0]", "input[1].content[0]"),
            (false, "`input[2].call_id` is `x`", "`input[0].call_id` is `x`"),
            (false, "input[1].content[4].text", "previous_response_id"),
            (false, "`input[0]` calls, input[2] not", "`previous_response_id` calls, input[0] not"),
            (true, "input[2].content", "input"),
            (false, "tools[0]", "tools[0]"),
            (false, "my_input[7] input[x] input[", "my_input[7] input[x] input["),
        ] {
            assert_eq!(kept(text).named(written), said);
        }
        let error = ApiError::new(ErrorCode::InvalidField, "`input[2]` is bad").with_param("input[2]");
        let error = kept(false).error(error);
        assert_eq!((error.public.as_str(), error.param.as_deref()), ("`input[0]` is bad", Some("input[0]")));
        let losses = [0, 1, 5].map(|index| Loss::dropped(format!("input[{index}]"), "why"));
        let losses = kept(false).losses(losses.to_vec());
        let fields: Vec<&str> = losses.iter().map(|loss| loss.field.as_str()).collect();
        assert_eq!(fields, ["previous_response_id", "input[3]"]);
    }
}
