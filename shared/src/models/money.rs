//! Money: a decimal number on the wire, whole minor units inside and in the table. Never a float between them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::text::Invalid;

/// The largest amount that a request may name.
const MOST: f64 = 999_999_999.99;
const MOST_MINOR: u64 = 99_999_999_999;

/// An amount in minor units of the one currency; on the wire a number with at most two decimal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, ToSchema)]
#[serde(try_from = "f64")]
#[schema(value_type = f64, minimum = -999999999.99, maximum = 999999999.99, example = 23.79)]
pub struct Money(i64);

impl Money {
    /// The amount that this number is exactly. Refuses a third decimal place rather than to round it.
    pub fn parse_major(number: f64) -> Result<Self, Invalid> {
        // What is not a number is in no range.
        if !(-MOST..=MOST).contains(&number) {
            return Err(out_of_money());
        }
        whole_hundredths(number).map(Self)
    }

    /// The amount that a decimal number is exactly, as databases write it: `19.99`, `19.990`, `1.999e1`. What stands at
    /// the end may be zeros; any other third decimal place is refused.
    pub fn parse_decimal(text: &str) -> Result<Self, Invalid> {
        let minor = decimal_hundredths(text)?;
        match minor.unsigned_abs() <= MOST_MINOR {
            true => Ok(Self(minor)),
            false => Err(out_of_money()),
        }
    }

    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    pub const fn minor(self) -> i64 {
        self.0
    }
}

/// With two decimal places, as 23.79 and 20.00.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let hundredths = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl TryFrom<f64> for Money {
    type Error = Invalid;

    fn try_from(number: f64) -> Result<Self, Invalid> {
        Self::parse_major(number)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(self.0, serializer)
    }
}

/// What something costs: an amount above 0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "f64", into = "Money")]
#[schema(value_type = f64, exclusive_minimum = 0, maximum = 999999999.99, example = 19.99)]
pub struct Price(Money);

impl Price {
    pub fn parse_major(number: f64) -> Result<Self, Invalid> {
        Money::parse_major(number)?.try_into()
    }

    /// As [`Money::parse_decimal`].
    pub fn parse_decimal(text: &str) -> Result<Self, Invalid> {
        Money::parse_decimal(text)?.try_into()
    }

    pub const fn money(self) -> Money {
        self.0
    }
}

impl TryFrom<f64> for Price {
    type Error = Invalid;

    fn try_from(number: f64) -> Result<Self, Invalid> {
        Self::parse_major(number)
    }
}

impl TryFrom<Money> for Price {
    type Error = Invalid;

    fn try_from(money: Money) -> Result<Self, Invalid> {
        match money.minor() > 0 {
            true => Ok(Self(money)),
            false => Err(Invalid::new("too_small", "must be above 0")),
        }
    }
}

impl From<Price> for Money {
    fn from(price: Price) -> Money {
        price.0
    }
}

/// A rate from 0 to 100 percent, in hundredths of a percent; on the wire a number with at most two decimal places.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, ToSchema,
)]
#[serde(try_from = "f64")]
#[schema(value_type = f64, minimum = 0, maximum = 100, example = 19)]
pub struct Percent(u16);

impl Percent {
    /// The rate that this number is exactly.
    pub fn parse(number: f64) -> Result<Self, Invalid> {
        // What is not a number is in no range.
        if !(0.0..=100.0).contains(&number) {
            return Err(out_of_percent());
        }
        let hundredths = u16::try_from(whole_hundredths(number)?);
        hundredths.map(Self).map_err(|_| out_of_percent())
    }

    /// As [`Money::parse_decimal`].
    pub fn parse_decimal(text: &str) -> Result<Self, Invalid> {
        let hundredths = u16::try_from(decimal_hundredths(text)?);
        hundredths.map_or_else(|_| Err(out_of_percent()), Self::from_hundredths)
    }

    pub fn from_hundredths(hundredths: u16) -> Result<Self, Invalid> {
        match hundredths <= 10_000 {
            true => Ok(Self(hundredths)),
            false => Err(out_of_percent()),
        }
    }

    pub const fn hundredths(self) -> u16 {
        self.0
    }
}

fn out_of_money() -> Invalid {
    Invalid::new("out_of_range", format!("must be from -{MOST} to {MOST}"))
}

fn out_of_percent() -> Invalid {
    Invalid::new("out_of_range", "must be from 0 to 100")
}

impl TryFrom<f64> for Percent {
    type Error = Invalid;

    fn try_from(number: f64) -> Result<Self, Invalid> {
        Self::parse(number)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_hundredths(self.0.into(), serializer)
    }
}

/// A price with its tax, half up to minor units.
pub fn total(price: Money, tax: Percent) -> Money {
    let exact = i128::from(price.0) * i128::from(10_000 + u32::from(tax.0));
    let minor = (exact + 5_000).div_euclid(10_000);
    Money(minor.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// The hundredths that a number in a range of money is exactly.
fn whole_hundredths(number: f64) -> Result<i64, Invalid> {
    let hundredths = (number * 100.0).round();
    // A decimal number of two places, read, is the float nearest to it; so is this quotient.
    match hundredths / 100.0 == number {
        true => Ok(hundredths as i64),
        false => Err(too_many_decimals()),
    }
}

fn too_many_decimals() -> Invalid {
    let message = "must have at most two decimal places";
    Invalid::new("too_many_decimals", message)
}

/// The hundredths that a decimal number is exactly. What is too large for any amount or rate stays too large.
fn decimal_hundredths(text: &str) -> Result<i64, Invalid> {
    let no_number = || Invalid::new("invalid_type", "must be a decimal number");
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().map_err(|_| no_number())?),
        None => (text, 0_i32),
    };
    let (is_negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{decimals}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_number());
    }
    let digits = digits.trim_start_matches('0');
    // How many of the digits are hundredths.
    let places = i32::try_from(decimals.len()).map_err(|_| no_number())?;
    let kept = i64::try_from(digits.len()).map_err(|_| no_number())? + 2 - i64::from(places)
        + i64::from(exponent);
    let (kept, rest) = match usize::try_from(kept) {
        Ok(kept) if kept >= digits.len() => {
            // No amount has so many digits.
            let zeros = (kept - digits.len()).min(20);
            (format!("{digits}{}", "0".repeat(zeros)), "")
        }
        Ok(kept) => (digits[..kept].to_owned(), &digits[kept..]),
        Err(_) => (String::new(), digits),
    };
    if rest.bytes().any(|byte| byte != b'0') {
        return Err(too_many_decimals());
    }
    let hundredths = match kept.trim_start_matches('0') {
        "" => 0,
        kept => kept.parse().unwrap_or(i64::MAX),
    };
    Ok(if is_negative { -hundredths } else { hundredths })
}

/// As people write it: 19.99 and 20, not 20.0.
fn serialize_hundredths<S: Serializer>(hundredths: i64, serializer: S) -> Result<S::Ok, S::Error> {
    match hundredths % 100 {
        0 => serializer.serialize_i64(hundredths / 100),
        _ => serializer.serialize_f64(hundredths as f64 / 100.0),
    }
}

/// The stored form of [`Money`] and [`Price`]: minor units. For `#[serde(with = "…")]`.
pub mod minor {
    use std::fmt::Display;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Money;

    pub fn serialize<T, S>(amount: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Copy + Into<Money>,
        S: Serializer,
    {
        let money: Money = (*amount).into();
        serializer.serialize_i64(money.minor())
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: TryFrom<Money, Error: Display>,
        D: Deserializer<'de>,
    {
        let money = Money::from_minor(i64::deserialize(deserializer)?);
        T::try_from(money).map_err(D::Error::custom)
    }
}

/// The same of what may be absent; needs `#[serde(default)]` beside it.
pub mod minor_option {
    use std::fmt::Display;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Money;

    pub fn serialize<T, S>(amount: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Copy + Into<Money>,
        S: Serializer,
    {
        let money: Option<Money> = amount.map(Into::into);
        money.map(Money::minor).serialize(serializer)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: TryFrom<Money, Error: Display>,
        D: Deserializer<'de>,
    {
        let money = Option::deserialize(deserializer)?.map(Money::from_minor);
        let amount = money.map(T::try_from).transpose();
        amount.map_err(D::Error::custom)
    }
}

/// The stored form of [`Percent`]: hundredths. For `#[serde(with = "…")]`.
pub mod hundredths {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Percent;

    pub fn serialize<S: Serializer>(rate: &Percent, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(rate.hundredths())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Percent, D::Error> {
        let hundredths = u16::deserialize(deserializer)?;
        Percent::from_hundredths(hundredths).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use fastrand::Rng;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Each case is a number with what becomes of it: `Ok` hundredths or `Err` code.
    fn check(parse: impl Fn(f64) -> Result<i64, Invalid>, cases: &[(f64, Result<i64, &str>)]) {
        for (number, expected) in cases {
            let found = parse(*number).map_err(|e| e.code);
            assert_eq!(found, *expected, "for {number:?}");
        }
    }

    /// Each case is JSON with what is written of it again, or with the beginning of what is said against it.
    fn check_json<T: Serialize + DeserializeOwned + Debug>(cases: &[(&str, Result<&str, &str>)]) {
        for (json, expected) in cases {
            match (serde_json::from_str::<T>(json), expected) {
                (Ok(found), Ok(expected)) => {
                    let written = serde_json::to_string(&found).unwrap();
                    assert_eq!(written, *expected, "for {json}");
                }
                (Err(error), Err(expected)) => {
                    let said = error.to_string();
                    assert!(said.starts_with(expected), "for {json}: {said}");
                }
                (found, _) => panic!("for {json}: {found:?}"),
            }
        }
    }

    #[test]
    fn decimals() {
        let amount = |text: &str| Money::parse_decimal(text).map(Money::minor);
        for (text, expected) in [
            ("19.99", Ok(1_999)),
            ("19.9900", Ok(1_999)),
            ("0019.9", Ok(1_990)),
            ("+20", Ok(2_000)),
            ("20.", Ok(2_000)),
            (".5", Ok(50)),
            ("-0.01", Ok(-1)),
            ("-0", Ok(0)),
            ("1.999e1", Ok(1_999)),
            ("2E+3", Ok(200_000)),
            ("100e-4", Ok(1)),
            ("1e-3", Err("too_many_decimals")),
            ("0e-999", Ok(0)),
            ("19.999", Err("too_many_decimals")),
            ("0.005", Err("too_many_decimals")),
            ("999999999.99", Ok(99_999_999_999)),
            ("1000000000", Err("out_of_range")),
            ("-1e999999999", Err("out_of_range")),
            ("99999999999999999999999999", Err("out_of_range")),
            ("", Err("invalid_type")),
            (".", Err("invalid_type")),
            ("--1", Err("invalid_type")),
            ("1,99", Err("invalid_type")),
            ("1e", Err("invalid_type")),
            ("NaN", Err("invalid_type")),
            ("$5", Err("invalid_type")),
            ("٣", Err("invalid_type")),
        ] {
            assert_eq!(amount(text).map_err(|e| e.code), expected, "{text:?}");
        }
        let rate = |text: &str| Percent::parse_decimal(text).map(Percent::hundredths);
        assert_eq!(rate("19"), Ok(1_900));
        assert_eq!(rate("100.00"), Ok(10_000));
        assert_eq!(rate("100.01").map_err(|e| e.code), Err("out_of_range"));
        assert_eq!(rate("-1").map_err(|e| e.code), Err("out_of_range"));
        let price = Price::parse_decimal("0.00").map_err(|e| e.code);
        assert_eq!(price, Err("too_small"));
    }

    #[test]
    fn amounts() {
        check(
            |number| Money::parse_major(number).map(Money::minor),
            &[
                (19.99, Ok(1_999)),
                (20.0, Ok(2_000)),
                (0.1 + 0.2, Err("too_many_decimals")),
                (0.29, Ok(29)),
                (1.005, Err("too_many_decimals")),
                (0.0, Ok(0)),
                (-0.0, Ok(0)),
                (-0.01, Ok(-1)),
                (5e-324, Err("too_many_decimals")),
                (999_999_999.99, Ok(99_999_999_999)),
                (-999_999_999.99, Ok(-99_999_999_999)),
                (999_999_999.991, Err("out_of_range")),
                (1e9, Err("out_of_range")),
                (f64::MAX, Err("out_of_range")),
                (f64::INFINITY, Err("out_of_range")),
                (f64::NEG_INFINITY, Err("out_of_range")),
                (f64::NAN, Err("out_of_range")),
            ],
        );
    }

    #[test]
    fn prices_are_above_nothing() {
        check(
            |number| Price::parse_major(number).map(|price| price.money().minor()),
            &[
                (0.01, Ok(1)),
                (999_999_999.99, Ok(99_999_999_999)),
                (0.0, Err("too_small")),
                (-0.0, Err("too_small")),
                (-19.99, Err("too_small")),
                (0.001, Err("too_many_decimals")),
                (1e300, Err("out_of_range")),
                (f64::NAN, Err("out_of_range")),
            ],
        );
    }

    #[test]
    fn rates() {
        check(
            |number| Percent::parse(number).map(|rate| rate.hundredths().into()),
            &[
                (0.0, Ok(0)),
                (7.25, Ok(725)),
                (19.0, Ok(1_900)),
                (100.0, Ok(10_000)),
                (100.01, Err("out_of_range")),
                (-0.01, Err("out_of_range")),
                (7.255, Err("too_many_decimals")),
                (f64::NAN, Err("out_of_range")),
                (f64::INFINITY, Err("out_of_range")),
            ],
        );
        assert!(Percent::from_hundredths(10_000).is_ok());
        assert!(Percent::from_hundredths(10_001).is_err());
    }

    #[test]
    fn the_wire_has_numbers() {
        check_json::<Price>(&[
            ("19.99", Ok("19.99")),
            ("19.990", Ok("19.99")),
            ("1999e-2", Ok("19.99")),
            ("19.9", Ok("19.9")),
            ("20", Ok("20")),
            ("20.00", Ok("20")),
            ("2e1", Ok("20")),
            ("0.01", Ok("0.01")),
            ("999999999.99", Ok("999999999.99")),
            ("0", Err("[too_small]")),
            ("-0.0", Err("[too_small]")),
            ("-5", Err("[too_small]")),
            ("19.999", Err("[too_many_decimals]")),
            ("1e-9", Err("[too_many_decimals]")),
            ("1000000000", Err("[out_of_range]")),
            ("18446744073709551616", Err("[out_of_range]")),
            ("1e308", Err("[out_of_range]")),
            ("1e309", Err("number out of range")),
            ("NaN", Err("expected value")),
            ("\"19.99\"", Err("invalid type: string")),
            ("null", Err("invalid type: null")),
            ("true", Err("invalid type: boolean")),
            ("[19.99]", Err("invalid type: sequence")),
        ]);
        check_json::<Money>(&[("-0.05", Ok("-0.05")), ("0", Ok("0")), ("-3", Ok("-3"))]);
        check_json::<Percent>(&[
            ("0", Ok("0")),
            ("7.25", Ok("7.25")),
            ("100", Ok("100")),
            ("101", Err("[out_of_range]")),
            ("-1", Err("[out_of_range]")),
            ("7.255", Err("[too_many_decimals]")),
            ("\"19\"", Err("invalid type: string")),
        ]);
    }

    #[test]
    fn every_amount_comes_back_from_the_wire() {
        let mut random = Rng::with_seed(1);
        for _ in 0..10_000 {
            // As many small ones as large ones.
            let most = 10_i64.pow(random.u32(1..=11)) - 1;
            let minor = random.i64(-most..=most);
            let json = serde_json::to_string(&Money::from_minor(minor)).unwrap();
            let read: Money = serde_json::from_str(&json).unwrap();
            assert_eq!(read.minor(), minor, "for {json}");
            let written = format!("{:.2}", minor as f64 / 100.0);
            let read: Money = serde_json::from_str(&written).unwrap();
            assert_eq!(read.minor(), minor, "for {written}");
        }
    }

    #[test]
    fn totals_are_rounded_half_up() {
        for (price, tax, expected) in [
            (1_999, 1_900, 2_379),
            (1_999, 0, 1_999),
            (1_999, 10_000, 3_998),
            // 5.5, 1.5, 1.4999 and 200.5
            (5, 1_000, 6),
            (1, 5_000, 2),
            (1, 4_999, 1),
            (200, 25, 201),
            (333, 725, 357),
            (0, 1_900, 0),
            (-1, 5_000, -1),
            (99_999_999_999, 10_000, 199_999_999_998),
            (i64::MAX, 10_000, i64::MAX),
        ] {
            let rate = Percent::from_hundredths(tax).unwrap();
            let found = total(Money::from_minor(price), rate);
            assert_eq!(found.minor(), expected, "for {price} and {tax}");
        }
    }
}
