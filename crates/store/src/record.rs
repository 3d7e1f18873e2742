//! Records as bytes, in the spool and in the ledger.
//!
//! JSON of a record takes three times the room and thirty times the work, and a call pays for it four times on its
//! way into the ledger. So a record is a list of fields, each a tag and a value: absent fields have their default,
//! lists repeat their tag, the fields of an attempt follow its own tag. Tags and codes are stored for good: new
//! ones are added, none is ever reused. A tag nobody knows is an error, because it was written by a newer version.

mod code;

use std::collections::BTreeMap;
use std::sync::Arc;

use steelyard_core::record::{Attempt, AttemptStatus, CallFacts, Entry, Hold, Intent, Outcome};
use steelyard_core::{EntryId, KeyId, Money, RequestId, Timestamp, Usage, UsageClass};

use code::{BASES, OUTCOMES, STATUSES, basis_code, class_code, outcome_code, status_code};

/// The first byte of every record.
const FORMAT: u8 = 1;

/// What a tag stands for.
mod tag {
    pub(super) const REQUEST: u8 = 1;
    pub(super) const TIME: u8 = 2;
    pub(super) const PROJECT: u8 = 3;
    pub(super) const KEY: u8 = 4;
    pub(super) const PRINCIPAL: u8 = 5;
    pub(super) const ROUTE: u8 = 6;
    pub(super) const DIALECT: u8 = 7;
    pub(super) const ENDPOINT: u8 = 8;
    pub(super) const STREAM: u8 = 9;
    pub(super) const TAG: u8 = 10;
    pub(super) const ENTRY: u8 = 11;
    pub(super) const OUTCOME: u8 = 12;
    pub(super) const LOSS: u8 = 13;
    pub(super) const ADJUSTS: u8 = 14;
    /// Begins an attempt, with its number; the tags below belong to it.
    pub(super) const ATTEMPT: u8 = 20;
    pub(super) const CHANNEL: u8 = 21;
    pub(super) const MODEL: u8 = 22;
    pub(super) const UPSTREAM_MODEL: u8 = 23;
    pub(super) const PRICE_VERSION: u8 = 24;
    pub(super) const TIER: u8 = 25;
    pub(super) const GEO: u8 = 26;
    pub(super) const STARTED: u8 = 27;
    pub(super) const ENDED: u8 = 28;
    pub(super) const STATUS: u8 = 29;
    pub(super) const HTTP_STATUS: u8 = 30;
    pub(super) const VENDOR_REQUEST: u8 = 31;
    pub(super) const HOLD: u8 = 32;
    /// A class and its count.
    pub(super) const USAGE: u8 = 33;
    pub(super) const BASIS: u8 = 34;
    pub(super) const AMOUNT: u8 = 35;
    pub(super) const FLAG: u8 = 36;
    pub(super) const HOLD_ASSUMED: u8 = 37;
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the record breaks off")]
    Short,
    #[error("the record has format {0}, which this version does not know")]
    Format(u8),
    #[error("the record has a field {0}, which this version does not know")]
    Tag(u8),
    #[error("field {tag} has a value that cannot be")]
    Value { tag: u8 },
    #[error("the record lacks its {0}")]
    Missing(&'static str),
}

/// The bytes of an intent.
pub(crate) fn encode_intent(intent: &Intent) -> Vec<u8> {
    let Intent { call, attempts } = intent;
    let mut out = Out::new();
    out.call(call);
    out.attempts(attempts);
    out.0
}

/// The bytes of an entry.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let Entry { id, call, outcome, attempts, losses, adjusts } = entry;
    let mut out = Out::new();
    out.call(call);
    out.bytes(tag::ENTRY, id.as_bytes());
    out.code(tag::OUTCOME, outcome_code(*outcome));
    for loss in losses {
        out.text(tag::LOSS, loss);
    }
    if let Some(id) = adjusts {
        out.bytes(tag::ADJUSTS, id.as_bytes());
    }
    out.attempts(attempts);
    out.0
}

/// An intent from its bytes.
pub(crate) fn decode_intent(bytes: &[u8]) -> Result<Intent, DecodeError> {
    let fields = Fields::read(bytes)?;
    Ok(Intent { call: fields.call()?, attempts: fields.attempts })
}

/// An entry from its bytes.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, DecodeError> {
    let fields = Fields::read(bytes)?;
    Ok(Entry {
        id: fields.entry.ok_or(DecodeError::Missing("entry id"))?,
        call: fields.call()?,
        outcome: fields.outcome.ok_or(DecodeError::Missing("outcome"))?,
        attempts: fields.attempts,
        losses: fields.losses,
        adjusts: fields.adjusts,
    })
}

/// The bytes so far.
struct Out(Vec<u8>);

impl Out {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(FORMAT);
        Self(bytes)
    }

    fn call(&mut self, call: &CallFacts) {
        let CallFacts { request_id, time, project, key, principal, route, dialect, endpoint, stream, tags } =
            call;
        self.bytes(tag::REQUEST, request_id.as_bytes());
        self.signed(tag::TIME, time.0.into());
        self.text(tag::PROJECT, project);
        if let Some(key) = key {
            self.bytes(tag::KEY, key.as_bytes());
        }
        self.text(tag::PRINCIPAL, principal);
        self.text(tag::ROUTE, route);
        self.text(tag::DIALECT, dialect);
        self.text(tag::ENDPOINT, endpoint);
        if *stream {
            self.0.push(tag::STREAM);
        }
        for (name, value) in tags {
            self.text(tag::TAG, name);
            self.tail(value);
        }
    }

    fn attempts(&mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            self.attempt(attempt);
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let Attempt {
            number,
            channel,
            model,
            upstream_model,
            price_version,
            tier,
            geo,
            started,
            ended,
            status,
            http_status,
            vendor_request_id,
            hold,
            usage,
            basis,
            amount,
            flags,
        } = attempt;
        self.count(tag::ATTEMPT, (*number).into());
        self.text(tag::CHANNEL, channel);
        self.text(tag::MODEL, model);
        self.text(tag::UPSTREAM_MODEL, upstream_model);
        if let Some(version) = price_version {
            self.text(tag::PRICE_VERSION, version);
        }
        self.text(tag::TIER, tier);
        self.text(tag::GEO, geo);
        self.signed(tag::STARTED, started.0.into());
        if let Some(ended) = ended {
            self.signed(tag::ENDED, ended.0.into());
        }
        self.code(tag::STATUS, status_code(*status));
        if let Some(status) = http_status {
            self.count(tag::HTTP_STATUS, (*status).into());
        }
        if let Some(id) = vendor_request_id {
            self.text(tag::VENDOR_REQUEST, id);
        }
        match hold {
            Some(Hold::Known(hold)) => self.signed(tag::HOLD, hold.pico()),
            Some(Hold::Assumed(hold)) => self.signed(tag::HOLD_ASSUMED, hold.pico()),
            None => {}
        }
        for (class, count) in usage.counted() {
            self.code(tag::USAGE, class_code(class));
            self.number(count.into());
        }
        if let Some(basis) = basis {
            self.code(tag::BASIS, basis_code(*basis));
        }
        if let Some(amount) = amount {
            self.signed(tag::AMOUNT, amount.pico());
        }
        for flag in flags {
            self.text(tag::FLAG, flag);
        }
    }

    fn code(&mut self, tag: u8, code: u8) {
        self.0.extend_from_slice(&[tag, code]);
    }

    fn count(&mut self, tag: u8, count: u128) {
        self.0.push(tag);
        self.number(count);
    }

    /// Small numbers of either sign are short.
    fn signed(&mut self, tag: u8, value: i128) {
        self.count(tag, (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned());
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8; 16]) {
        self.0.push(tag);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, tag: u8, text: &str) {
        self.0.push(tag);
        self.tail(text);
    }

    /// A text without a tag: its length, and itself.
    fn tail(&mut self, text: &str) {
        self.number(text.len() as u128);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Seven bits a byte, the lowest first; all bytes but the last have the eighth bit set.
    fn number(&mut self, number: u128) {
        // Nearly every number fits 64 bits, where shifting is much cheaper.
        let Ok(mut low) = u64::try_from(number) else { return self.large(number) };
        while low >= 0x80 {
            self.0.push(low.to_le_bytes()[0] | 0x80);
            low >>= 7;
        }
        self.0.push(low.to_le_bytes()[0]);
    }

    fn large(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }
}

/// What has been read of a record.
#[derive(Default)]
struct Fields {
    request: Option<RequestId>,
    time: Timestamp,
    project: Option<Arc<str>>,
    key: Option<KeyId>,
    principal: Option<Arc<str>>,
    route: Option<Arc<str>>,
    dialect: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    stream: bool,
    tags: BTreeMap<String, String>,
    entry: Option<EntryId>,
    outcome: Option<Outcome>,
    losses: Vec<String>,
    adjusts: Option<EntryId>,
    attempts: Vec<Attempt>,
}

impl Fields {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut left = In { bytes, tag: 0 };
        match left.byte()? {
            FORMAT => {}
            other => return Err(DecodeError::Format(other)),
        }
        let mut fields = Self::default();
        while left.next_tag()? {
            fields.field(&mut left)?;
        }
        Ok(fields)
    }

    fn field(&mut self, left: &mut In<'_>) -> Result<(), DecodeError> {
        match left.tag {
            tag::REQUEST => self.request = Some(RequestId::from_bytes(left.id()?)),
            tag::TIME => self.time = left.time()?,
            tag::PROJECT => self.project = Some(left.text()?.into()),
            tag::KEY => self.key = Some(KeyId::from_bytes(left.id()?)),
            tag::PRINCIPAL => self.principal = Some(left.text()?.into()),
            tag::ROUTE => self.route = Some(left.text()?.into()),
            tag::DIALECT => self.dialect = Some(left.text()?.into()),
            tag::ENDPOINT => self.endpoint = Some(left.text()?.into()),
            tag::STREAM => self.stream = true,
            tag::TAG => {
                let name = left.text()?.to_owned();
                self.tags.insert(name, left.text()?.to_owned());
            }
            tag::ENTRY => self.entry = Some(EntryId::from_bytes(left.id()?)),
            tag::OUTCOME => self.outcome = Some(left.one_of(&OUTCOMES, outcome_code)?),
            tag::LOSS => self.losses.push(left.text()?.to_owned()),
            tag::ADJUSTS => self.adjusts = Some(EntryId::from_bytes(left.id()?)),
            tag::ATTEMPT => self.attempts.push(blank(left.number()?)),
            _ => {
                let attempt = self.attempts.last_mut().ok_or(DecodeError::Tag(left.tag))?;
                attempt_field(attempt, left)?;
            }
        }
        Ok(())
    }

    fn call(&self) -> Result<CallFacts, DecodeError> {
        let text = |text: &Option<Arc<str>>, what| text.clone().ok_or(DecodeError::Missing(what));
        Ok(CallFacts {
            request_id: self.request.ok_or(DecodeError::Missing("request id"))?,
            time: self.time,
            project: text(&self.project, "project")?,
            key: self.key,
            principal: text(&self.principal, "principal")?,
            route: text(&self.route, "route")?,
            dialect: text(&self.dialect, "dialect")?,
            endpoint: text(&self.endpoint, "endpoint")?,
            stream: self.stream,
            tags: self.tags.clone(),
        })
    }
}

fn blank(number: u16) -> Attempt {
    Attempt {
        number,
        channel: Arc::default(),
        model: Arc::default(),
        upstream_model: Arc::default(),
        price_version: None,
        tier: Arc::default(),
        geo: Arc::default(),
        started: Timestamp::default(),
        ended: None,
        status: AttemptStatus::Open,
        http_status: None,
        vendor_request_id: None,
        hold: None,
        usage: Usage::ZERO,
        basis: None,
        amount: None,
        flags: Vec::new(),
    }
}

fn attempt_field(attempt: &mut Attempt, left: &mut In<'_>) -> Result<(), DecodeError> {
    match left.tag {
        tag::CHANNEL => attempt.channel = left.text()?.into(),
        tag::MODEL => attempt.model = left.text()?.into(),
        tag::UPSTREAM_MODEL => attempt.upstream_model = left.text()?.into(),
        tag::PRICE_VERSION => attempt.price_version = Some(left.text()?.into()),
        tag::TIER => attempt.tier = left.text()?.into(),
        tag::GEO => attempt.geo = left.text()?.into(),
        tag::STARTED => attempt.started = left.time()?,
        tag::ENDED => attempt.ended = Some(left.time()?),
        tag::STATUS => attempt.status = left.one_of(&STATUSES, status_code)?,
        tag::HTTP_STATUS => attempt.http_status = Some(left.number()?),
        tag::VENDOR_REQUEST => attempt.vendor_request_id = Some(left.text()?.to_owned()),
        tag::HOLD => attempt.hold = Some(Hold::Known(left.money()?)),
        tag::HOLD_ASSUMED => attempt.hold = Some(Hold::Assumed(left.money()?)),
        tag::USAGE => {
            let class = left.one_of(UsageClass::ALL, class_code)?;
            attempt.usage[class] = left.number()?;
        }
        tag::BASIS => attempt.basis = Some(left.one_of(&BASES, basis_code)?),
        tag::AMOUNT => attempt.amount = Some(left.money()?),
        tag::FLAG => attempt.flags.push(left.text()?.to_owned()),
        unknown => return Err(DecodeError::Tag(unknown)),
    }
    Ok(())
}

/// The bytes that are left, and the tag whose value they begin with.
struct In<'a> {
    bytes: &'a [u8],
    tag: u8,
}

impl<'a> In<'a> {
    /// False at the end.
    fn next_tag(&mut self) -> Result<bool, DecodeError> {
        if self.bytes.is_empty() {
            return Ok(false);
        }
        self.tag = self.byte()?;
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, left) = self.bytes.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.bytes = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, left) = self.bytes.split_first().ok_or(DecodeError::Short)?;
        self.bytes = left;
        Ok(*first)
    }

    fn wide(&mut self) -> Result<u128, DecodeError> {
        let (mut number, mut shift) = (0_u128, 0);
        loop {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            // The 19th byte has room for two bits.
            if shift > 126 || (shift == 126 && bits > 3) {
                return Err(DecodeError::Value { tag: self.tag });
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn number<N: TryFrom<u128>>(&mut self) -> Result<N, DecodeError> {
        N::try_from(self.wide()?).map_err(|_| DecodeError::Value { tag: self.tag })
    }

    fn signed(&mut self) -> Result<i128, DecodeError> {
        let number = self.wide()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn time(&mut self) -> Result<Timestamp, DecodeError> {
        let micros = self.signed()?;
        i64::try_from(micros).map(Timestamp).map_err(|_| DecodeError::Value { tag: self.tag })
    }

    fn money(&mut self) -> Result<Money, DecodeError> {
        self.signed().map(Money::from_pico)
    }

    fn id(&mut self) -> Result<[u8; 16], DecodeError> {
        let bytes = self.take(16)?;
        bytes.try_into().map_err(|_| DecodeError::Short)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.number()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Value { tag: self.tag })
    }

    fn one_of<T: Copy>(&mut self, all: &[T], code: fn(T) -> u8) -> Result<T, DecodeError> {
        let byte = self.byte()?;
        let found = all.iter().find(|value| code(**value) == byte);
        found.copied().ok_or(DecodeError::Value { tag: self.tag })
    }
}

#[cfg(test)]
mod tests;
