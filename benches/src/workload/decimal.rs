//! Exact decimal numbers.
//!
//! A number is `mantissa / 10^scale` with a mantissa of 128 bits and at most [`SCALE_MAX`] digits after the point.
//! Sums are exact whatever the order of the events, which no binary fraction can say; a sum that would need more
//! than the 38 digits of a mantissa is an error instead of a rounded number.
//!
//! Invariant: a [`Decimal`] is in lowest terms (no zero at the end of its fraction), so equal numbers are equal bytes.

use std::cmp::Ordering;
use std::fmt;

/// Most digits after the point.
pub(crate) const SCALE_MAX: u8 = 36;

/// An exact decimal number. Ordered by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Decimal {
    mantissa: i128,
    scale: u8,
}

impl Decimal {
    /// Zero.
    pub(crate) const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// Reads `[+-]digits[.digits][e[+-]digits]`. `None`: no number, or more digits than are kept exactly.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let mut mantissa: i128 = 0;
        let mut fraction_digits: i32 = 0;
        let (mut digits, mut point) = (0_u32, false);
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                    fraction_digits = fraction_digits.checked_add(i32::from(point))?;
                    digits = digits.saturating_add(1);
                }
                b'.' if !point => point = true,
                b'e' | b'E' => break,
                _ => return None,
            }
            rest = after;
        }
        if digits == 0 {
            return None;
        }
        let exponent: i32 = match rest {
            [_, exponent @ ..] => exponent_of(exponent)?,
            [] => 0,
        };
        let mut scale = fraction_digits.checked_sub(exponent)?;
        while scale < 0 && mantissa != 0 {
            mantissa = mantissa.checked_mul(10)?;
            scale += 1;
        }
        while scale > 0 && mantissa % 10 == 0 && mantissa != 0 {
            mantissa /= 10;
            scale -= 1;
        }
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
        Some(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// The sum, or `None` when it needs more digits than are kept.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let mantissa = self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?;
        Some(Self { mantissa, scale }.lowest())
    }

    /// The parts that are stored: mantissa and digits after the point.
    pub(crate) fn parts(self) -> (i128, u8) {
        (self.mantissa, self.scale)
    }

    /// A number from its parts; `None` when they are not in lowest terms.
    pub(crate) fn from_parts(mantissa: i128, scale: u8) -> Option<Self> {
        let number = Self { mantissa, scale };
        (scale <= SCALE_MAX && number.lowest() == number).then_some(number)
    }

    fn at_scale(self, scale: u8) -> Option<i128> {
        let shift = scale.checked_sub(self.scale)?;
        self.mantissa.checked_mul(10_i128.checked_pow(u32::from(shift))?)
    }

    fn lowest(mut self) -> Self {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

/// The exponent, within what could make sense with 38 digits.
fn exponent_of(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.starts_with(b"+") {
        return None;
    }
    let exponent: i32 = str::from_utf8(digits).ok()?.parse().ok()?;
    (-100..=100).contains(&exponent).then_some(exponent)
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(one), Some(two)) => one.cmp(&two),
            // Only one of them can be beyond the range at this scale: its own sign then decides.
            (None, _) => self.mantissa.cmp(&0),
            (_, None) => 0.cmp(&other.mantissa),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let scale = usize::from(self.scale);
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_read_and_print_in_lowest_terms() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("+7", "7"),
            ("12.50", "12.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.05", "-0.05"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("0e99", "0"),
            ("120e-1", "12"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
        ] {
            assert_eq!(number(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_not_exact_is_refused() {
        for text in
            ["", "-", ".", "1.2.3", "12x", "NA", "nan", "inf", "1e", "1e++2", "e5", "0x10", "1,5", "--1"]
        {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
        for text in ["1e40", "1e-37", "1e999999999999", "170141183460469231731687303715884105728"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_and_know_their_limit() {
        let sum = (0..10).try_fold(Decimal::ZERO, |sum, _| sum.checked_add(number("0.1"))).unwrap();
        assert_eq!(sum, number("1"));
        assert_eq!(
            number("1e20").checked_add(number("1e-10")).unwrap().to_string(),
            "100000000000000000000.0000000001"
        );
        assert!(number("1e37").checked_add(number("0.01")).is_none());
        assert_eq!(number("1.5").checked_add(number("-1.5")).unwrap(), Decimal::ZERO);
    }

    #[test]
    fn order_is_by_value_at_any_scale() {
        let ordered = ["-1e38", "-2", "-1.5", "-1e-36", "0", "1e-36", "0.1", "0.11", "1", "1.5", "2", "1e38"];
        for (i, one) in ordered.iter().enumerate() {
            for (j, two) in ordered.iter().enumerate() {
                assert_eq!(number(one).cmp(&number(two)), i.cmp(&j), "{one} {two}");
            }
        }
    }

    #[test]
    fn parts_in_other_than_lowest_terms_are_refused() {
        let number = number("-12.5");
        assert_eq!(Decimal::from_parts(-125, 1), Some(number));
        assert_eq!(Decimal::from_parts(-1250, 2), None);
        assert_eq!(Decimal::from_parts(0, 1), None);
        assert_eq!(Decimal::from_parts(1, SCALE_MAX + 1), None);
    }
}
