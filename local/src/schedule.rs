//! When an EventBridge rule runs: `rate(…)` and `cron(…)`, as AWS writes them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};

#[derive(Clone, Debug)]
pub enum Timing {
    Every(Duration),
    /// In UTC, as EventBridge rules are.
    Cron(Box<Cron>),
}

impl Timing {
    /// Reads `rate(5 minutes)` or the six fields of `cron(0 8 ? * MON-FRI *)`.
    pub fn parse(expression: &str) -> Result<Self> {
        let inner = |name: &str| {
            let rest = expression.trim().strip_prefix(name)?;
            rest.trim().strip_prefix('(')?.strip_suffix(')')
        };
        if let Some(rate) = inner("rate") {
            return rate_of(rate).map(Timing::Every);
        }
        if let Some(cron) = inner("cron") {
            return cron_of(cron).map(|cron| Timing::Cron(Box::new(cron)));
        }
        bail!("`{expression}` is neither rate(…) nor cron(…)")
    }

    /// How long after `now` it runs next; nothing if it never does again.
    pub fn wait_from(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Timing::Every(period) => Some(*period),
            Timing::Cron(cron) => {
                let now = now.to_zoned(TimeZone::UTC);
                let next = cron.find_next_occurrence(&now, false).ok()?;
                next.timestamp()
                    .duration_since(now.timestamp())
                    .try_into()
                    .ok()
            }
        }
    }
}

fn rate_of(rate: &str) -> Result<Duration> {
    let (number, unit) = rate
        .trim()
        .split_once(' ')
        .with_context(|| format!("`{rate}` is not a number and a unit"))?;
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{number}` is not a whole number"))?;
    let seconds = match (number, unit.trim()) {
        (0, _) => bail!("the number must be at least 1"),
        // AWS insists on the singular for one and the plural for more.
        (1, "minute") | (2.., "minutes") => 60,
        (1, "hour") | (2.., "hours") => 3600,
        (1, "day") | (2.., "days") => 86400,
        (_, unit) => bail!(
            "`{unit}` does not go with {number}: AWS takes `1 minute`, `2 minutes`, and hours and days likewise"
        ),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

fn cron_of(fields: &str) -> Result<Cron> {
    let count = fields.split_whitespace().count();
    if count != 6 {
        bail!(
            "`{fields}` has {count} fields; AWS wants minutes, hours, day of month, month, day of week, year"
        );
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        // A day of month and a day of week given together must both match; AWS wants `?` for one of them anyway.
        .dom_and_dow(true)
        // AWS counts the days of the week from 1, a Sunday.
        .alternative_weekdays(true)
        // AWS writes "every 15, from 0" as `0/15`.
        .sloppy_ranges(true)
        .build();
    parser
        .parse(&format!("0 {fields}"))
        .with_context(|| format!("`{fields}` is not a cron expression"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let period = |text| match Timing::parse(text) {
            Ok(Timing::Every(period)) => Some(period.as_secs()),
            _ => None,
        };
        assert_eq!(period("rate(1 minute)"), Some(60));
        assert_eq!(period("rate(5 minutes)"), Some(300));
        assert_eq!(period("rate(1 hour)"), Some(3600));
        assert_eq!(period("rate(2 days)"), Some(172_800));
        for wrong in [
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(5)",
            "rate(-1 minute)",
            "rate(soon)",
            "every minute",
            "",
        ] {
            assert!(Timing::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cron_expressions_are_in_utc_and_count_days_as_aws_does() {
        let next = |expression: &str| {
            // A Thursday.
            let now: Timestamp = "2026-01-01T12:30:15Z".parse().unwrap();
            let timing = Timing::parse(expression).unwrap();
            let wait = timing.wait_from(now)?;
            Some((now + wait).to_string())
        };
        let cases = [
            ("cron(0 8 * * ? *)", Some("2026-01-02T08:00:00Z")),
            ("cron(45 12 * * ? *)", Some("2026-01-01T12:45:00Z")),
            ("cron(0/15 * * * ? *)", Some("2026-01-01T12:45:00Z")),
            ("cron(0 8 ? * MON-FRI *)", Some("2026-01-02T08:00:00Z")),
            ("cron(0 8 ? * 1 *)", Some("2026-01-04T08:00:00Z")),
            ("cron(0 0 L * ? *)", Some("2026-01-31T00:00:00Z")),
            ("cron(0 0 1 1 ? 2020)", None),
        ];
        for (expression, expected) in cases {
            assert_eq!(next(expression).as_deref(), expected, "{expression}");
        }
        for wrong in ["cron(* * * * *)", "cron(61 * * * ? *)", "cron(a b c d e f)"] {
            assert!(Timing::parse(wrong).is_err(), "{wrong}");
        }
    }
}
