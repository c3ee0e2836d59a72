//! Which plots a phase or a row has, from the numbers it has.

use super::plot::{Area, Axis, Chart, Line, Mark, nines};
use crate::histogram::CurvePoint;
use crate::numbers::{count, number};
use crate::result::comparison::Row;
use crate::result::phase::Phase;
use crate::result::round::{Hits, Second};

/// Names of the places that reads are answered from, in the order of their colours.
pub(super) const HIT_PARTS: [&str; 4] = ["memory", "SSD", "DFS", "not there"];

/// Operations a second in each second of each round.
pub(super) fn throughput(phase: &Phase) -> Option<Chart> {
    let rate = |second: &Second, before: f64| second.operations as f64 / (second.at_s - before).max(1e-3);
    let lines = lines_by_round(phase, |second, before| {
        let rate = rate(second, before);
        Some((rate, format!("{} ops/s at {} s", count(rate), second.at_s)))
    });
    over_time(phase, "Throughput over time", "ops/s", lines, false)
}

/// 99th percentiles in each second of each round.
pub(super) fn latency_over_time(phase: &Phase) -> Option<Chart> {
    let lines = lines_by_round(phase, |second, _| {
        let p99_us = second.p99_us?;
        Some((p99_us, format!("p99 {} at {} s", time(p99_us), second.at_s)))
    });
    over_time(phase, "p99 latency over time", "p99", lines, true)
}

fn lines_by_round(phase: &Phase, of: impl Fn(&Second, f64) -> Option<(f64, String)>) -> Vec<Line> {
    let line = |round: &crate::result::round::Round| {
        let mut before = 0.0;
        let points = round.series.iter().filter_map(|second| {
            let found = of(second, before);
            before = second.at_s;
            found.map(|(y, tip)| (second.at_s, y, tip))
        });
        Line { name: format!("round {}", round.round), points: points.collect() }
    };
    phase.rounds.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

fn over_time(phase: &Phase, title: &str, label: &str, lines: Vec<Line>, is_time: bool) -> Option<Chart> {
    if lines.is_empty() {
        return None;
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let y = points().map(|point| point.1);
    Some(Chart {
        title: title.to_owned(),
        description: format!("{title} of {}, {} rounds", phase.name, lines.len()),
        x: Axis::linear("seconds", points().map(|point| point.0), count),
        y: Axis::linear(label, y, if is_time { time } else { short }),
        areas: Vec::new(),
        lines,
        marks: Vec::new(),
    })
}

/// Latencies by percentile, both axes by factors.
pub(super) fn percentiles(phase: &Phase) -> Option<Chart> {
    let curves = [("response", &phase.curve.response), ("service", &phase.curve.service)];
    let curves = curves.into_iter().filter(|(_, points)| !points.is_empty());
    curve_chart(&phase.name, curves.map(|(name, points)| (name.to_owned(), points.as_slice())).collect())
}

/// The same of all arms of a row.
pub(super) fn arms_percentiles(row: &Row) -> Option<Chart> {
    let curves = row.arms.iter().filter(|arm| !arm.curve.response.is_empty());
    curve_chart(&row.name, curves.map(|arm| (arm.name.clone(), arm.curve.response.as_slice())).collect())
}

fn curve_chart(of: &str, curves: Vec<(String, &[CurvePoint])>) -> Option<Chart> {
    if curves.is_empty() {
        return None;
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let (x, y) = (
        Axis::percentiles("percentile", all().map(|point| point.percentile)),
        Axis::log("latency", all().map(|point| point.us), time),
    );
    let point = |point: &CurvePoint| {
        let tip = format!("{} % took at most {}", rounded(point.percentile), time(point.us));
        (nines(point.percentile), point.us, tip)
    };
    let lines =
        curves.into_iter().map(|(name, points)| Line { name, points: points.iter().map(point).collect() });
    Some(Chart {
        title: "Latency by percentile".to_owned(),
        description: format!("latency by percentile of {of}, both axes logarithmic"),
        x,
        y,
        areas: Vec::new(),
        lines: lines.collect(),
        marks: Vec::new(),
    })
}

/// Latency against throughput: flat, then steep.
pub(super) fn sweep(phase: &Phase) -> Option<Chart> {
    let sweep = phase.sweep.as_ref().filter(|sweep| !sweep.steps.is_empty())?;
    type Percentile = (&'static str, fn(&crate::result::phase::SweepStep) -> f64);
    let percentiles: [Percentile; 3] =
        [("p50", |step| step.p50_us), ("p99", |step| step.p99_us), ("p99.9", |step| step.p99_9_us)];
    let line = |(name, of): Percentile| {
        let points = sweep.steps.iter().map(|step| {
            let (offered, achieved) = (count(step.offered_ops_per_s), count(step.achieved_ops_per_s));
            let tip = format!("{} at {achieved} ops/s ({offered} offered)", time(of(step)));
            (step.achieved_ops_per_s, of(step), tip)
        });
        Line { name: name.to_owned(), points: points.collect() }
    };
    let lines: Vec<Line> = percentiles.into_iter().map(line).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let allowed = Mark { y: sweep.p99_us_max, text: format!("p99 allowed: {}", time(sweep.p99_us_max)) };
    Some(Chart {
        title: "Latency against throughput".to_owned(),
        description: format!("latency at each rate that was offered to {}", phase.name),
        x: Axis::linear("achieved ops/s", points().map(|point| point.0), short),
        y: Axis::log("latency", points().map(|point| point.1).chain([sweep.p99_us_max]), time),
        areas: Vec::new(),
        lines,
        marks: vec![allowed],
    })
}

/// Where reads were answered from, second by second, in the last round.
pub(super) fn hits_over_time(phase: &Phase) -> Option<Chart> {
    let round = phase
        .rounds
        .iter()
        .rfind(|round| round.series.iter().filter(|second| second.hits.is_some()).count() > 1)?;
    let seconds: Vec<(f64, Hits)> =
        round.series.iter().filter_map(|second| Some((second.at_s, second.hits?))).collect();
    let upto = |hits: &Hits, parts: usize| {
        let shares = [hits.memory, hits.ssd, hits.remote, hits.absent];
        shares.into_iter().take(parts).sum::<f64>().clamp(0.0, 1.0)
    };
    // From the beginning on: the first second is a second long.
    let first = seconds.first().map(|(_, hits)| (0.0, *hits));
    let seconds: Vec<(f64, Hits)> = first.into_iter().chain(seconds).collect();
    let area = |(index, name): (usize, &&str)| Area {
        name: (*name).to_owned(),
        points: seconds
            .iter()
            .map(|(at_s, hits)| (*at_s, upto(hits, index), upto(hits, index + 1)))
            .collect(),
        colour: index,
    };
    let areas = HIT_PARTS
        .iter()
        .enumerate()
        .map(area)
        .filter(|area| area.points.iter().any(|(_, low, high)| high > low));
    Some(Chart {
        title: "Where reads were answered from".to_owned(),
        description: format!(
            "shares of memory, SSD and DFS in the reads of {}, round {}",
            phase.name, round.round
        ),
        x: Axis::linear("seconds", seconds.iter().map(|(at_s, _)| *at_s), count),
        y: Axis::linear("share of reads", [1.0].into_iter(), super::plot::percent),
        areas: areas.collect(),
        lines: Vec::new(),
        marks: Vec::new(),
    })
}

/// Microseconds with a unit that fits.
fn time(us: f64) -> String {
    if us <= 0.0 {
        return "0".to_owned();
    }
    let (number, unit) = match us {
        less if less < 1.0 => (less * 1e3, "ns"),
        less if less < 1e3 => (less, "µs"),
        less if less < 1e6 => (less / 1e3, "ms"),
        all => (all / 1e6, "s"),
    };
    format!("{} {unit}", rounded(number))
}

/// Large numbers with a letter.
fn short(value: f64) -> String {
    let (number, letter) = match value {
        less if less < 1e3 => (less, ""),
        less if less < 1e6 => (less / 1e3, "k"),
        less if less < 1e9 => (less / 1e6, "M"),
        all => (all / 1e9, "G"),
    };
    format!("{}{letter}", rounded(number))
}

/// Three digits, without zeros at the end.
fn rounded(value: f64) -> String {
    if (99.0..100.0).contains(&value) {
        return value.to_string().chars().take(7).collect();
    }
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_short_texts() {
        assert_eq!([0.5, 50.0, 1500.0, 2e6].map(time), ["500 ns", "50 µs", "1.5 ms", "2 s"]);
        assert_eq!([0.0, 500.0, 150_000.0, 2.5e6].map(short), ["0", "500", "150k", "2.5M"]);
        assert_eq!([99.0, 99.9, 99.99, 99.996_093_75].map(rounded), ["99", "99.9", "99.99", "99.9960"]);
    }
}
