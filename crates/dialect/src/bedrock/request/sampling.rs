//! How the model samples: what the caller asks for, within what the wire and the model take.

use crate::anthropic::quirks::Quirks;
use crate::bedrock::is_claude;
use crate::chat::ChatRequest;
use crate::error::Loss;

/// Thinking excludes less ("Extended thinking").
const LEAST_TOP_P: f64 = 0.95;

/// The parameters of sampling as they are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampling {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
    /// Nova has a place of its own for `top_k`.
    pub(super) nova: bool,
}

impl Sampling {
    /// `own`: the request came in this dialect, and its client says for itself what its model takes.
    pub(super) fn of(request: &ChatRequest, model: &str, own: bool, losses: &mut Vec<Loss>) -> Self {
        let nova = !own && model.contains("amazon.nova");
        let mut sampling =
            Self { temperature: request.temperature, top_p: request.top_p, top_k: request.top_k, nova };
        if is_claude(model) && !own {
            sampling.claudes(Quirks::of(model), losses);
        }
        if let Some(value) = sampling.temperature.as_mut().filter(|value| **value > 1.0) {
            losses.push(Loss::emulated("temperature", "the highest of the wire is 1"));
            *value = 1.0;
        }
        let takes = own || nova || is_claude(model) || model.contains("mistral.");
        if !takes && sampling.top_k.take().is_some() {
            losses.push(Loss::dropped("top_k", "the wire has no word for it that this model knows"));
        }
        sampling
    }

    fn claudes(&mut self, quirks: Quirks, losses: &mut Vec<Loss>) {
        if !quirks.sampling {
            // What is the model's own setting is not missed.
            let moved = |value: Option<f64>| value.is_some_and(|value| (value - 1.0).abs() > f64::EPSILON);
            let asked = [
                ("temperature", moved(self.temperature.take())),
                ("top_p", moved(self.top_p.take())),
                ("top_k", self.top_k.take().is_some()),
            ];
            let why = "the model samples as it sees fit";
            losses.extend(
                asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| Loss::dropped(name, why)),
            );
        } else if !quirks.both_samplings && self.temperature.is_some() && self.top_p.take().is_some() {
            losses.push(Loss::dropped("top_p", "the model takes it or the temperature, not both"));
        }
    }

    /// Drops what thinking excludes and only tunes.
    pub(super) fn beside_thinking(&mut self, losses: &mut Vec<Loss>) {
        if self.top_k.take().is_some() {
            losses.push(Loss::dropped("top_k", "thinking excludes it"));
        }
        if self.top_p.is_some_and(|top_p| top_p < LEAST_TOP_P) {
            self.top_p = None;
            losses.push(Loss::dropped("top_p", "thinking excludes less than 0.95"));
        }
    }
}
