//! Money: a decimal number on the wire, whole minor units inside and in the table. Never a float between them.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::text::Invalid;

/// The largest amount that a request may name.
const MOST: f64 = 999_999_999.99;

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
            let message = format!("must be from -{MOST} to {MOST}");
            return Err(Invalid::new("out_of_range", message));
        }
        whole_hundredths(number).map(Self)
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
        false => {
            let message = "must have at most two decimal places";
            Err(Invalid::new("too_many_decimals", message))
        }
    }
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
