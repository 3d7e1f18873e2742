//! Routes: what a model name leads to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::offer::Offer;
use crate::spec::{OnDisconnect, Strategy};

/// A name with its targets. Declared, or implied by `channel/model`, a catalog id or a bare name.
#[derive(Debug)]
pub struct Route {
    /// What the ledger writes.
    pub name: Arc<str>,
    /// Where it leads, as declared.
    pub targets: Vec<Target>,
    /// How the order is chosen.
    pub strategy: Strategy,
    /// What happens upstream when the client hangs up.
    pub on_disconnect: OnDisconnect,
    /// Whether a loss is a refusal.
    pub strict: bool,
    /// How often the targets are gone through again.
    pub retries: u8,
    pub(crate) turn: Turn,
}

/// One target of a route.
#[derive(Debug)]
pub struct Target {
    /// The offer.
    pub offer: Arc<Offer>,
    /// Its share under `weighted`.
    pub weight: u32,
}

/// Deals out shares: successive turns fall evenly over the weights, without a random number per call.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicU64);

impl Turn {
    /// A number below `total`, spread evenly over successive calls (the golden-ratio sequence).
    fn next(&self, total: u64) -> u64 {
        let turn = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let scaled = (u128::from(turn) * u128::from(total)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }
}

impl Route {
    /// The offers in the order in which this call should try them, before health is looked at.
    pub(crate) fn order(&self) -> Vec<Arc<Offer>> {
        let mut order: Vec<_> = self.targets.iter().map(|target| Arc::clone(&target.offer)).collect();
        match self.strategy {
            Strategy::Priority => {}
            Strategy::Weighted => {
                let total = self.targets.iter().map(|target| u64::from(target.weight)).sum();
                let mut drawn = self.turn.next(total);
                let first = self.targets.iter().position(|target| {
                    let weight = u64::from(target.weight);
                    let hit = drawn < weight;
                    drawn = drawn.saturating_sub(weight);
                    hit
                });
                if let Some(first) = first {
                    order[..=first].rotate_right(1);
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_fall_in_proportion_to_the_weights() {
        let turn = Turn::default();
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            counts[usize::try_from(turn.next(10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (950..=1050).contains(count)), "{counts:?}");
    }
}
