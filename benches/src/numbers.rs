//! Numbers for people.

use crate::measure::spread::Spread;

/// A count with its thousands parted; fractions are rounded.
pub(crate) fn count(number: impl Into<Count>) -> String {
    let digits = number.into().0;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The digits of a count.
pub(crate) struct Count(String);

impl From<u64> for Count {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl From<f64> for Count {
    fn from(number: f64) -> Self {
        Self(format!("{:.0}", number.max(0.0)))
    }
}

/// Three digits at least.
pub(crate) fn number(number: f64) -> String {
    if number < 9.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        count(number)
    }
}

/// Where counts lie, without their median.
pub(crate) fn range(spread: Spread) -> String {
    format!("({}–{})", count(spread.min), count(spread.max))
}

/// A share or ratio, with where it lies.
pub(crate) fn share(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_parted() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (336_776, "336,776"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(1234.6), "1,235");
    }

    #[test]
    fn numbers_have_three_digits() {
        for (found, text) in
            [(0.0, "0.00"), (9.99, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1,234")]
        {
            assert_eq!(number(found), text);
        }
        let spread = Spread { median: 1.5, min: 1000.0, max: 2000.0 };
        assert_eq!(range(spread), "(1,000–2,000)");
        assert_eq!(share(spread), "1.50 (1000.00–2000.00)");
    }
}
