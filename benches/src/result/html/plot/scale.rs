//! Where a value lies on an axis, and which values are written there.

/// An axis: what it shows, from where to where, and its marks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    label: String,
    is_log: bool,
    min: f64,
    max: f64,
    ticks: Vec<(f64, String)>,
}

/// About so many marks.
const TICKS: f64 = 5.0;

/// Marks of a logarithmic axis at most.
const LOG_TICKS_MAX: usize = 10;

impl Axis {
    /// From zero to a little more than the largest value.
    pub(crate) fn linear(label: &str, values: impl Iterator<Item = f64>, text: fn(f64) -> String) -> Self {
        let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let step = nice_step(largest / TICKS);
        let count = (largest / step).ceil().clamp(1.0, 2.0 * TICKS);
        let steps = (0_u8..=20).map(f64::from).take_while(|index| *index <= count);
        let ticks = steps.map(|index| (index * step, text(index * step))).collect();
        Self { label: label.to_owned(), is_log: false, min: 0.0, max: count * step, ticks }
    }

    /// By factors, from the power of ten (or its 2 or 5) below the least value to the one above the largest. Values that
    /// are not above zero have no place on it.
    pub(crate) fn log(label: &str, values: impl Iterator<Item = f64>, text: fn(f64) -> String) -> Self {
        let values = values.filter(|value| value.is_finite() && *value > 0.0);
        let (least, largest) = values
            .fold((f64::MAX, 0.0_f64), |(least, largest), value| (least.min(value), largest.max(value)));
        let (least, largest) = if largest > 0.0 { (least, largest) } else { (1.0, 10.0) };
        let (low, high) = (decade_below(least), decade_below(largest).max(decade_below(least)));
        let fine = high - low < 3.0;
        let factors: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades =
            (0_u16..=700).map(f64::from).map(|index| low + index).take_while(|decade| *decade <= high + 1.0);
        let marks = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powf(decade)));
        let marks: Vec<f64> = marks.filter(|mark| mark.is_finite()).collect();
        let min = marks.iter().copied().rfind(|mark| *mark <= least * 1.000_001).unwrap_or(least);
        let max = marks.iter().copied().find(|mark| *mark >= largest && *mark > min).unwrap_or(largest * 2.0);
        let within: Vec<f64> = marks.into_iter().filter(|mark| (min..=max).contains(mark)).collect();
        let every = within.len().div_ceil(LOG_TICKS_MAX).max(1);
        let ticks = within.into_iter().step_by(every).map(|mark| (mark, text(mark))).collect();
        Self { label: label.to_owned(), is_log: true, min, max, ticks }
    }

    /// Percentiles up to the largest: each nine as wide as the one before.
    pub(crate) fn percentiles(label: &str, percentiles: impl Iterator<Item = f64>) -> Self {
        let farthest = percentiles.map(nines).fold(2.0, f64::max);
        let marks =
            [(0.0, "0"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99"), (99.999, "99.999")];
        let marks = marks.into_iter().map(|(percentile, text)| (nines(percentile), text.to_owned()));
        let ticks = marks.filter(|(place, _)| *place <= farthest * 1.001).collect();
        Self { label: label.to_owned(), is_log: true, min: 1.0, max: farthest, ticks }
    }

    /// 0 to 1 from one end to the other; `None` for what has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let place = if self.is_log {
            if value <= 0.0 {
                return None;
            }
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        place.is_finite().then(|| place.clamp(0.0, 1.0))
    }

    /// What it shows.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Marks with their texts.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().filter_map(|(value, text)| Some((self.place(*value)?, text.as_str())))
    }
}

/// The place of a percentile on an axis of factors: ten times as far for each nine, at most six of them.
pub(crate) fn nines(percentile: f64) -> f64 {
    1.0 / (1.0 - percentile / 100.0).max(1e-6)
}

/// 1, 2 or 5 times a power of ten, not less than this.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(decade_below(least));
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

/// The exponent of the largest power of ten that is not above a number.
fn decade_below(number: f64) -> f64 {
    let decade = number.log10().floor();
    // Where the logarithm was rounded down although the number is a power of ten itself.
    if 10_f64.powf(decade + 1.0) <= number { decade + 1.0 } else { decade }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        value.to_string()
    }

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().map(|(_, text)| text.to_owned()).collect()
    }

    #[test]
    fn marks_are_round_numbers() {
        let linear = |largest| texts(&Axis::linear("", [1.0, largest].into_iter(), text));
        assert_eq!(linear(172_000.0), ["0", "50000", "100000", "150000", "200000"]);
        assert_eq!(linear(9.0), ["0", "2", "4", "6", "8", "10"]);
        let log = |least, largest| texts(&Axis::log("", [least, largest, -1.0, 0.0].into_iter(), text));
        assert_eq!(log(45.0, 410.0), ["20", "50", "100", "200", "500"]);
        assert_eq!(log(100.0, 100.0), ["100", "200"]);
        assert_eq!(log(3.0, 250_000.0), ["1", "10", "100", "1000", "10000", "100000", "1000000"]);
        let percentiles = Axis::percentiles("", [0.0, 50.0, 99.95].into_iter());
        assert_eq!(texts(&percentiles), ["0", "90", "99", "99.9"]);
    }

    #[test]
    fn places_go_from_end_to_end() {
        let axis = Axis::log("", [10.0, 1000.0].into_iter(), text);
        let places = [10.0, 100.0, 1000.0, 1e9, 0.0, -1.0].map(|value| axis.place(value));
        assert_eq!(
            places.map(|place| place.map(|place| (place * 100.0).round())),
            [Some(0.0), Some(50.0), Some(100.0), Some(100.0), None, None]
        );
        let half = Axis::percentiles("", [99.0].into_iter()).place(nines(90.0)).unwrap();
        assert!((half - 0.5).abs() < 1e-9);
    }

    #[test]
    fn no_number_is_too_strange() {
        for value in [0.0, f64::MIN_POSITIVE, 5e-324, 1e-300, f64::MAX, 1e300, f64::INFINITY, f64::NAN, -5.0]
        {
            for axis in
                [Axis::linear("", [value].into_iter(), text), Axis::log("", [value, 1.0].into_iter(), text)]
            {
                assert!(axis.ticks().count() <= 21, "{value}: {axis:?}");
                if let Some(place) = axis.place(value) {
                    assert!((0.0..=1.0).contains(&place), "{value}: {axis:?}");
                }
            }
        }
    }
}
