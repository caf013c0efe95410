//! Kubernetes quantities (`500m`, `1.5Gi`, `2e3`) as exact numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// An amount in thousand-millionths, the finest that a quantity can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

const NANO: i128 = 1_000_000_000;

impl Amount {
    /// Reads a quantity.
    ///
    /// The grammar is that of `k8s.io/apimachinery/pkg/api/resource.Quantity`.
    pub fn parse(text: &str) -> Option<Amount> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 24 {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (times, tens) = scale(suffix)?;
        let exponent = tens + 9 - i32::try_from(fraction.len()).ok()?;
        let scaled = digits.checked_mul(times)?;
        let nano = if exponent >= 0 {
            scaled.checked_mul(10i128.checked_pow(exponent.unsigned_abs())?)?
        } else {
            // What is finer than we keep is rounded up, as Kubernetes does.
            let divisor = 10i128.checked_pow(exponent.unsigned_abs())?;
            scaled.checked_add(divisor - 1)? / divisor
        };
        Some(Amount(if negative { -nano } else { nano }))
    }

    /// Reads a quantity of an object; a malformed one is nothing.
    pub fn of(quantity: &Quantity) -> Option<Amount> {
        Amount::parse(&quantity.0)
    }

    /// In whole units, rounded up.
    pub fn whole(self) -> i64 {
        self.per(NANO)
    }

    /// In thousandths, rounded up.
    pub fn milli(self) -> i64 {
        self.per(NANO / 1000)
    }

    /// How often `divisor` fits, rounded up.
    pub fn divided_by(self, divisor: Amount) -> Option<i64> {
        (divisor.0 > 0).then(|| self.per(divisor.0))
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    fn per(self, nano: i128) -> i64 {
        let rounded = self.0.div_euclid(nano) + i128::from(self.0.rem_euclid(nano) != 0);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let power: i32 = digits.parse().ok()?;
            (1, (-30..=18).contains(&power).then_some(power)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        for (text, milli) in [
            ("1", 1000),
            ("100m", 100),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("2e3", 2_000_000),
            ("1E", 1_000_000_000_000_000_000_000i128),
            ("128Mi", 134_217_728_000),
            ("0.1m", 1),
            ("-1", -1000),
            ("1.5Gi", 1_610_612_736_000),
        ] {
            let amount = Amount::parse(text).map(Amount::milli);
            assert_eq!(amount, Some(i64::try_from(milli).unwrap_or(i64::MAX)), "{text}");
        }
        for text in
            ["", "m", "1mi", "1 Gi", "1.2.3", "--1", "1K", "0x1", "1e", "1eE", "999999999999999999999999999"]
        {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[-+0-9.eEkKMGimun]{0,20}") {
            let _ = Amount::parse(&text).map(|a| (a.whole(), a.milli()));
        }

        #[test]
        fn milli_rounds_up_to_the_next(n in 0i64..1_000_000_000) {
            let micro = Amount::parse(&format!("{n}u")).map(Amount::milli);
            prop_assert_eq!(micro, Some((n + 999) / 1000));
        }
    }
}
