//! The stored codes of what is one of a few. A new variant needs a code before this compiles; add it to the list
//! above its function too.

use steelyard_core::UsageClass;
use steelyard_core::record::{AttemptStatus, Basis, Outcome};

pub(super) const OUTCOMES: [Outcome; 6] = [
    Outcome::Ok,
    Outcome::UpstreamError,
    Outcome::ClientGone,
    Outcome::Timeout,
    Outcome::Unsettled,
    Outcome::Shutdown,
];

pub(super) fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Ok => 1,
        Outcome::UpstreamError => 2,
        Outcome::ClientGone => 3,
        Outcome::Timeout => 4,
        Outcome::Unsettled => 5,
        Outcome::Shutdown => 6,
    }
}

pub(super) const STATUSES: [AttemptStatus; 8] = [
    AttemptStatus::Open,
    AttemptStatus::Ok,
    AttemptStatus::ConnectError,
    AttemptStatus::HttpError,
    AttemptStatus::Timeout,
    AttemptStatus::Cut,
    AttemptStatus::ClientGone,
    AttemptStatus::Unsettled,
];

pub(super) fn status_code(status: AttemptStatus) -> u8 {
    match status {
        AttemptStatus::Open => 1,
        AttemptStatus::Ok => 2,
        AttemptStatus::ConnectError => 3,
        AttemptStatus::HttpError => 4,
        AttemptStatus::Timeout => 5,
        AttemptStatus::Cut => 6,
        AttemptStatus::ClientGone => 7,
        AttemptStatus::Unsettled => 8,
    }
}

pub(super) const BASES: [Basis; 3] = [Basis::Reported, Basis::Counted, Basis::Hold];

pub(super) fn basis_code(basis: Basis) -> u8 {
    match basis {
        Basis::Reported => 1,
        Basis::Counted => 2,
        Basis::Hold => 3,
    }
}

pub(super) fn class_code(class: UsageClass) -> u8 {
    match class {
        UsageClass::Input => 1,
        UsageClass::CacheRead => 2,
        UsageClass::CacheWrite5m => 3,
        UsageClass::CacheWrite1h => 4,
        UsageClass::CacheWrite12h => 5,
        UsageClass::Output => 6,
        UsageClass::Reasoning => 7,
        UsageClass::AudioIn => 8,
        UsageClass::AudioCacheRead => 9,
        UsageClass::AudioOut => 10,
        UsageClass::ImageIn => 11,
        UsageClass::ImageCacheRead => 12,
        UsageClass::ImageOut => 13,
        UsageClass::VideoIn => 14,
        UsageClass::WebSearch => 15,
        UsageClass::MapsGrounding => 16,
        UsageClass::Calls => 17,
    }
}
