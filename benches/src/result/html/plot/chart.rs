//! Lines and areas over two axes.
//!
//! ```text
//! ┌ figure ──────────────┐
//! │ title                │
//! │ y label              │
//! │    ┌───────────────┐ │   viewBox 400 x 250: about as wide as a phone, so that texts keep their size
//! │    │ lines, areas  │ │
//! │    └───────────────┘ │
//! │      x label         │
//! │ legend               │
//! └──────────────────────┘
//! ```

use std::fmt::Write;

use maud::{Markup, html};

use super::scale::Axis;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;

/// Points of a line at most; of more, the least and the largest of each stretch are drawn.
const POINTS_MAX: usize = 800;

/// Lines with at most so many points have a dot with a tip on each.
const DOTS_MAX: usize = 160;

/// Colours that the style sheet has.
const COLOURS: usize = 6;

/// A figure with one plot.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// For those who do not see it.
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) areas: Vec<Area>,
    pub(crate) lines: Vec<Line>,
    pub(crate) marks: Vec<Mark>,
}

/// A line through points.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Place on both axes, and what a tip says there.
    pub(crate) points: Vec<(f64, f64, String)>,
}

/// An area between two lines.
#[derive(Debug, Clone)]
pub(crate) struct Area {
    pub(crate) name: String,
    /// Place on the x axis, lower and upper bound.
    pub(crate) points: Vec<(f64, f64, f64)>,
    /// Which of the colours; areas of the same thing have the same in every plot.
    pub(crate) colour: usize,
}

/// A horizontal line with a text.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) y: f64,
    pub(crate) text: String,
}

impl Chart {
    /// The figure.
    pub(crate) fn draw(&self, id: &str) -> Markup {
        let (title_id, description_id) = (format!("{id}-title"), format!("{id}-text"));
        html! {
            figure class="chart" {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{title_id} {description_id}")) {
                    title id=(title_id) { (self.title) }
                    desc id=(description_id) { (self.description) }
                    (self.axes())
                    @for area in &self.areas {
                        path class=(format!("area c{}", area.colour % COLOURS)) d=(self.area_path(area)) {}
                    }
                    @for mark in &self.marks {
                        @if let Some(y) = self.y.place(mark.y).map(down) {
                            line class="mark" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(round(y)) y2=(round(y)) {}
                            text class="mark" x=(LEFT + 4.0) y=(round(y - 4.0)) { (mark.text) }
                        }
                    }
                    @for (index, line) in self.lines.iter().enumerate() { (self.line(index, line)) }
                }
                (self.legend())
            }
        }
    }

    fn axes(&self) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        html! {
            @for (place, text) in self.y.ticks() {
                line class="grid" x1=(LEFT) x2=(right) y1=(round(down(place))) y2=(round(down(place))) {}
                text class="tick" text-anchor="end" x=(LEFT - 6.0) y=(round(down(place) + 4.0)) { (text) }
            }
            @for (place, text) in self.x.ticks() {
                line class="grid" x1=(round(along(place))) x2=(round(along(place))) y1=(TOP) y2=(bottom) {}
                text class="tick" text-anchor="middle" x=(round(along(place))) y=(bottom + 16.0) { (text) }
            }
            line class="axis" x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
            text class="label" text-anchor="middle" x=(round(f64::midpoint(LEFT, right))) y=(HEIGHT - 6.0) { (self.x.label()) }
            text class="label" x="2" y="14" { (self.y.label()) }
        }
    }

    fn line(&self, index: usize, line: &Line) -> Markup {
        let class = format!("line c{} d{}", index % COLOURS, index % COLOURS);
        let dots = line.points.len() <= DOTS_MAX;
        let places = line.points.iter().map(|(x, y, tip)| (self.place(*x, *y), tip));
        html! {
            path class=(class) d=(self.line_path(line)) {}
            @if dots {
                @for (place, tip) in places {
                    @if let Some((x, y)) = place {
                        circle class=(format!("dot c{}", index % COLOURS)) cx=(round(x)) cy=(round(y)) r="2.2" {
                            title { (line.name) ": " (tip) }
                        }
                    }
                }
            }
        }
    }

    fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        Some((along(self.x.place(x)?), down(self.y.place(y)?)))
    }

    fn line_path(&self, line: &Line) -> String {
        let places = line.points.iter().filter_map(|(x, y, _)| self.place(*x, *y));
        path(thin(places.collect()).into_iter())
    }

    fn area_path(&self, area: &Area) -> String {
        let upper = area.points.iter().filter_map(|(x, _, upper)| self.place(*x, *upper));
        let lower = area.points.iter().rev().filter_map(|(x, lower, _)| self.place(*x, *lower));
        let mut text = path(upper.chain(lower));
        text.push('Z');
        text
    }

    /// Names beside their colours; not for a single line, which the title names.
    fn legend(&self) -> Markup {
        let lines =
            self.lines.iter().enumerate().map(|(index, line)| (index, line.name.as_str(), "key-line"));
        let areas = self.areas.iter().map(|area| (area.colour, area.name.as_str(), "key-area"));
        let keys: Vec<_> = areas.chain(lines).collect();
        html! {
            @if keys.len() > 1 {
                ul class="legend" {
                    @for (colour, name, class) in keys {
                        li {
                            svg class=(class) viewBox="0 0 26 10" aria-hidden="true" {
                                @if class == "key-line" {
                                    path class=(format!("line c{} d{}", colour % COLOURS, colour % COLOURS)) d="M1 5H25" {}
                                } @else {
                                    rect class=(format!("area c{}", colour % COLOURS)) x="1" y="0" width="24" height="10" {}
                                }
                            }
                            (name)
                        }
                    }
                }
            }
        }
    }
}

fn along(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn down(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn path(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (index, (x, y)) in places.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(text, "{command}{} {}", round(x), round(y));
    }
    text
}

/// Not more points than can be told apart: of each stretch the least and the largest, so that no dip is lost.
fn thin(places: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if places.len() <= POINTS_MAX {
        return places;
    }
    let stretch = (places.len() * 2).div_ceil(POINTS_MAX);
    let ends = places.chunks(stretch).flat_map(|chunk| {
        let by_y = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let mut ends: Vec<_> =
            chunk.iter().min_by(by_y).into_iter().chain(chunk.iter().max_by(by_y)).copied().collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        ends.dedup();
        ends
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(names: &[&str]) -> Chart {
        let line =
            |name: &&str| Line { name: (*name).to_owned(), points: vec![(1.0, 2.0, "two".to_owned())] };
        Chart {
            title: "throughput".to_owned(),
            description: "over time".to_owned(),
            x: Axis::linear("seconds", [1.0].into_iter(), |value| value.to_string()),
            y: Axis::linear("ops/s", [2.0].into_iter(), |value| value.to_string()),
            areas: Vec::new(),
            lines: names.iter().map(line).collect(),
            marks: Vec::new(),
        }
    }

    #[test]
    fn a_chart_has_titles_labels_and_a_legend_where_lines_must_be_told_apart() {
        let text = chart(&["round 1"]).draw("a").into_string();
        for part in ["<title id=\"a-title\">throughput", ">seconds<", ">ops/s<", "round 1: two"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("legend"));
        assert!(chart(&["one", "<two>"]).draw("a").into_string().contains("&lt;two&gt;"));
    }

    #[test]
    fn long_lines_keep_their_dips() {
        let mut places: Vec<(f64, f64)> = (0..100_000).map(|x| (f64::from(x), 50.0)).collect();
        places[77_777].1 = 3.0;
        let thinned = thin(places);
        assert!(thinned.len() <= POINTS_MAX && thinned.contains(&(77_777.0, 3.0)), "{}", thinned.len());
        assert!(thinned.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
