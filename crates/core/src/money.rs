//! Money is an integer of pico-USD (10⁻¹² US dollars); prices are pico-USD per unit.
//!
//! Constraints: no floating point anywhere; overflow is impossible at the sizes that `i64` prices and `u64`
//! counts allow (their product fits `i128` with room for 2³ sums of everything); rounding to cents happens
//! at a statement line and nowhere else.
#![deny(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_arithmetic)]

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PICO: i128 = 1_000_000_000_000;
const SPLIT: i128 = 1_000_000_000;

/// An amount, in pico-USD. JSON shows the integer as a decimal string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From pico-USD.
    pub const fn from_pico(pico: i128) -> Self {
        Self(pico)
    }

    /// In pico-USD.
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// The two INTEGER columns of SQL: `hi·10⁹ + lo`, `0 ≤ lo < 10⁹`. `None` beyond 9.2 billion dollars.
    pub fn columns(self) -> Option<(i64, i64)> {
        let high = i64::try_from(self.0.div_euclid(SPLIT)).ok()?;
        let low = i64::try_from(self.0.rem_euclid(SPLIT)).ok()?;
        Some((high, low))
    }

    /// From the two columns, or from two sums of them: `lo` may exceed 10⁹ there.
    pub fn from_columns(high: i64, low: i64) -> Self {
        Self(i128::from(high) * SPLIT + i128::from(low))
    }

    /// From a decimal text of US dollars, exact to the pico (`0.40`, `-1`, `12.000000000001`).
    pub fn from_usd(text: &str) -> Result<Self, ParseMoneyError> {
        parse_scaled(text, 12).map(Self).ok_or_else(|| ParseMoneyError::new(text, 12))
    }
}

/// Shows US dollars without trailing zeros: `0.000123`, `12`, `-0.5`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let pico = self.0.unsigned_abs();
        let (whole, part) = (pico / PICO.unsigned_abs(), pico % PICO.unsigned_abs());
        if part == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let digits = format!("{part:012}");
        f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// A price: pico-USD per unit (a token, an image, a call). `$0.40` per million tokens is 400 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct UnitPrice(i64);

impl UnitPrice {
    /// From pico-USD per unit.
    pub const fn from_pico(pico: i64) -> Self {
        Self(pico)
    }

    /// In pico-USD per unit.
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// From US dollars per million units, as vendors print token prices; exact, or refused.
    pub fn from_usd_per_million(text: &str) -> Result<Self, ParseMoneyError> {
        parse_scaled(text, 6)
            .and_then(|pico| i64::try_from(pico).ok())
            .map(Self)
            .ok_or_else(|| ParseMoneyError::new(text, 6))
    }

    /// From US dollars per unit (an image, a call); exact, or refused.
    pub fn from_usd_per_unit(text: &str) -> Result<Self, ParseMoneyError> {
        parse_scaled(text, 12)
            .and_then(|pico| i64::try_from(pico).ok())
            .map(Self)
            .ok_or_else(|| ParseMoneyError::new(text, 12))
    }

    /// The price of `units`.
    pub fn times(self, units: u64) -> Money {
        Money(i128::from(self.0) * i128::from(units))
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an amount of US dollars: write digits with at most {places} decimal places, such as 0.40"
)]
pub struct ParseMoneyError {
    text: String,
    places: usize,
}

impl ParseMoneyError {
    fn new(text: &str, places: usize) -> Self {
        Self { text: text.chars().take(80).collect(), places }
    }
}

/// `text` × 10^`places` as an integer, if that is exact.
fn parse_scaled(text: &str, places: usize) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(part) || digits.ends_with('.') {
        return None;
    }
    let part = part.trim_end_matches('0');
    if part.len() > places {
        return None;
    }
    let value = i128::from_str(&format!("{whole}{part:0<places$}")).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_per_million_are_exact() {
        assert_eq!(UnitPrice::from_usd_per_million("0.40"), Ok(UnitPrice(400_000)));
        assert_eq!(
            UnitPrice::from_usd_per_million("0.0375").map(|p| p.times(1_000_000).to_string()),
            Ok("0.0375".into())
        );
        assert!(UnitPrice::from_usd_per_million("0.0000001").is_err());
    }

    #[test]
    fn wrong_amounts_are_named() {
        for text in [
            "",
            "-",
            ".5",
            "5.",
            "1e3",
            "1,5",
            "$1",
            "0x1",
            "1.2.3",
            " 1",
            "99999999999999999999999999999999999999999",
        ] {
            let error = Money::from_usd(text).unwrap_err().to_string();
            assert!(error.contains("US dollars"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn text_and_columns_round_trip(pico in -9_000_000_000_000_000_000_000_i128..9_000_000_000_000_000_000_000) {
            let money = Money(pico);
            prop_assert_eq!(Money::from_usd(&money.to_string()), Ok(money));
            let (high, low) = money.columns().unwrap();
            prop_assert!((0..1_000_000_000).contains(&low));
            prop_assert_eq!(Money::from_columns(high, low), money);
        }

        #[test]
        fn sums_of_columns_are_sums_of_amounts(amounts in proptest::collection::vec(-1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000, 0..50)) {
            let money = amounts.iter().map(|pico| Money(*pico));
            let (mut high, mut low) = (0, 0);
            for amount in money.clone() {
                let columns = amount.columns().unwrap();
                high += columns.0;
                low += columns.1;
            }
            prop_assert_eq!(Money::from_columns(high, low), money.sum());
        }
    }
}
