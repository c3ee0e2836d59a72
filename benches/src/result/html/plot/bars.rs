//! Bars with texts beside them, which wrap on narrow screens.

use maud::{Markup, html};

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    /// What it is.
    pub(crate) name: String,
    /// Its value for people.
    pub(crate) text: String,
    /// Its length.
    pub(crate) value: f64,
    /// Where the value lies over the rounds.
    pub(crate) range: Option<(f64, f64)>,
    /// A line across it: a goal, a ceiling.
    pub(crate) mark: Option<f64>,
    /// Colour: `c0` to `c5`, `good`, `bad`, `unknown`.
    pub(crate) class: &'static str,
}

/// A figure of bars of one scale, each of which may have its own when `each` is set.
pub(crate) fn bars(title: &str, explanation: &str, each: bool, bars: &[Bar]) -> Markup {
    let largest = bars.iter().map(Bar::reach).fold(0.0, f64::max);
    html! {
        figure class="bars" {
            figcaption { (title) }
            @if !explanation.is_empty() { p class="explanation" { (explanation) } }
            @for bar in bars { (bar.draw(if each { bar.reach() } else { largest })) }
        }
    }
}

/// A figure of bars of shares that add up to one: names, then for each bar the shares in the order of the parts.
pub(crate) fn stacked(title: &str, parts: &[&str], bars: &[(String, Vec<f64>)]) -> Markup {
    html! {
        figure class="bars" {
            figcaption { (title) }
            @for (name, shares) in bars {
                @let texts: Vec<String> = parts.iter().zip(shares).map(|(part, share)| format!("{part} {}", percent(*share))).collect();
                div class="bar" role="img" aria-label=(format!("{name}: {}", texts.join(", "))) {
                    div class="bar-text" { span { (name) } span class="value" { (texts.join(", ")) } }
                    div class="track" {
                        @for (index, (share, text)) in shares.iter().zip(&texts).enumerate() {
                            span class=(format!("fill part c{index}")) data-tip=(text) style=(format!("width:{:.2}%", share.clamp(0.0, 1.0) * 100.0)) {}
                        }
                    }
                }
            }
            ul class="legend" {
                @for (index, part) in parts.iter().enumerate() {
                    li { span class=(format!("swatch c{index}")) {} (part) }
                }
            }
        }
    }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // The sign stays with its number at the end of a line.
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1}\u{a0}%")
    } else {
        format!("{percent:.0}\u{a0}%")
    }
}

impl Bar {
    /// How far its scale must go.
    fn reach(&self) -> f64 {
        let ends = [Some(self.value), self.range.map(|(_, max)| max), self.mark.map(|mark| mark * 1.1)];
        ends.into_iter().flatten().filter(|end| end.is_finite()).fold(0.0, f64::max)
    }

    fn draw(&self, reach: f64) -> Markup {
        let width = |value: f64| if reach > 0.0 { (value / reach).clamp(0.0, 1.0) * 100.0 } else { 0.0 };
        html! {
            div class="bar" role="img" aria-label=(format!("{}: {}", self.name, self.text)) {
                div class="bar-text" { span { (self.name) } span class="value" { (self.text) } }
                div class="track" {
                    span class=(format!("fill {}", self.class)) style=(format!("width:{:.2}%", width(self.value))) {}
                    @if let Some((min, max)) = self.range {
                        span class="whisker" style=(format!("left:{:.2}%;width:{:.2}%", width(min), width(max) - width(min))) {}
                    }
                    @if let Some(mark) = self.mark {
                        span class="goal" style=(format!("left:{:.2}%", width(mark))) {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_to_their_marks_and_escape_names() {
        let bar = Bar {
            name: "<b>".to_owned(),
            text: "1.00".to_owned(),
            value: 1.0,
            range: Some((0.5, 1.5)),
            mark: Some(2.0),
            class: "good",
        };
        let text = bars("ratios", "", true, &[bar]).into_string();
        for part in ["&lt;b&gt;", "width:45.45%", "left:90.91%", "left:22.73%;width:45.45%"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let none = Bar {
            name: String::new(),
            text: String::new(),
            value: 0.0,
            range: None,
            mark: None,
            class: "c0",
        };
        assert!(bars("nothing", "", false, &[none]).into_string().contains("width:0.00%"));
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!(
            [0.0, 0.012, 0.5, 1.0].map(percent),
            ["0\u{a0}%", "1.2\u{a0}%", "50\u{a0}%", "100\u{a0}%"]
        );
    }
}
