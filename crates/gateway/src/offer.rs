//! An offer: one model on one channel, with its prices and its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use steelyard_billing::rate::ANSWER_CLASSES;
use steelyard_billing::{Model, PriceList};
use steelyard_core::{Timestamp, UsageClass};

use crate::provider::Channel;

/// A model on a channel.
#[derive(Debug)]
pub struct Offer {
    /// The account it is served from.
    pub channel: Arc<Channel>,
    /// The catalog's model, when the catalog knows it.
    pub model: Option<Arc<Model>>,
    /// What the ledger calls the model: its catalog id, or the upstream's own name.
    pub model_name: Arc<str>,
    /// The name sent upstream.
    pub upstream_model: Arc<str>,
    /// Where it is served, for prices that differ by it; an answer may know better.
    pub geo: Arc<str>,
    /// What it costs, by date.
    pub prices: Arc<PriceList>,
    /// Largest prompt and answer together, in tokens: the operator's figure, else the catalog's.
    pub context_window: Option<u64>,
    /// Largest answer, in tokens: the operator's figure, else the catalog's.
    pub max_output: Option<u64>,
    /// How it has been doing. Survives a change of configuration.
    pub health: Arc<Health>,
}

impl Offer {
    /// `channel/model`, the name under which exactly this offer can be called.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.channel.name, self.upstream_model)
    }

    /// Whether it makes embeddings, and no answers.
    pub fn embeds(&self) -> bool {
        let priced = self.model.as_ref().and_then(|_| self.prices.versions().last());
        match priced {
            // What the catalog knows has prices for what it writes and for what it ranks.
            Some(prices) => !prices
                .cells()
                .any(|cell| ANSWER_CLASSES.contains(&cell.class) || cell.class == UsageClass::Calls),
            // Of other models the name is all that is known.
            None => self.upstream_model.to_ascii_lowercase().contains("embed"),
        }
    }
}

/// After this many failures in a row an offer rests.
const TRIP_AFTER: u32 = 5;
/// So long does it rest, before one call may try it again.
const REST: Duration = Duration::from_secs(10);
/// A vendor's `Retry-After` is honoured up to this.
const MAX_COOL: Duration = Duration::from_mins(1);

/// A circuit breaker per offer, and the vendor's own wish to be left alone for a while.
///
/// Lock-free: read for every target of every call.
#[derive(Debug, Default)]
pub struct Health {
    failures: AtomicU32,
    open_until: AtomicI64,
    cool_until: AtomicI64,
}

/// Whether an offer may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// Yes.
    Well,
    /// The vendor asked to wait: try others first.
    Cooling,
    /// It failed too often: leave it alone until then.
    Open(Timestamp),
}

impl Health {
    /// How it stands at `now`.
    pub fn fitness(&self, now: Timestamp) -> Fitness {
        let open_until = self.open_until.load(Ordering::Relaxed);
        if open_until > now.0 {
            Fitness::Open(Timestamp(open_until))
        } else if self.cool_until.load(Ordering::Relaxed) > now.0 {
            Fitness::Cooling
        } else {
            Fitness::Well
        }
    }

    /// Claims the right to try an offer whose rest is over: the first to ask gets it, the others go on resting
    /// until that try has ended or the rest has passed once more.
    pub fn claim(&self, now: Timestamp) -> bool {
        let open_until = self.open_until.load(Ordering::Relaxed);
        if open_until == 0 {
            return true;
        }
        open_until <= now.0
            && self
                .open_until
                .compare_exchange(open_until, now.plus(REST).0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// A call went well.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.open_until.load(Ordering::Relaxed) != 0 {
            self.open_until.store(0, Ordering::Relaxed);
        }
    }

    /// A call failed in a way that is the offer's own.
    pub fn failed(&self, now: Timestamp) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= TRIP_AFTER {
            self.open_until.store(now.plus(REST).0, Ordering::Relaxed);
        }
    }

    /// The vendor said when to come again.
    pub fn cool(&self, now: Timestamp, wait: Duration) {
        self.cool_until.fetch_max(now.plus(wait.min(MAX_COOL)).0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_opens_lets_one_try_through_and_heals() {
        let health = Health::default();
        let start = Timestamp(1_000_000);
        for _ in 0..TRIP_AFTER - 1 {
            health.failed(start);
        }
        assert_eq!(health.fitness(start), Fitness::Well);
        health.failed(start);
        assert_eq!(health.fitness(start), Fitness::Open(start.plus(REST)));

        let later = start.plus(REST);
        assert_eq!(health.fitness(later), Fitness::Well);
        assert!(health.claim(later), "the first try after the rest");
        assert!(!health.claim(later), "and only the first");
        assert!(matches!(health.fitness(later), Fitness::Open(_)));
        health.succeeded();
        assert_eq!(health.fitness(later), Fitness::Well);
        assert!(health.claim(later) && health.claim(later));
    }

    #[test]
    fn a_vendors_wish_is_honoured_up_to_a_minute() {
        let health = Health::default();
        let start = Timestamp(0);
        health.cool(start, Duration::from_hours(2));
        assert_eq!(health.fitness(start.plus(Duration::from_secs(59))), Fitness::Cooling);
        assert_eq!(health.fitness(start.plus(MAX_COOL)), Fitness::Well);
    }
}
