//! Plots as inline SVG and as bars. Their colours and widths are the style sheet's, so that one page fits light and dark,
//! large screens and phones.

mod bars;
mod scale;
mod chart;

pub(super) use bars::{Bar, bars, percent, stacked};
pub(super) use chart::{Area, Chart, Line, Mark};
pub(super) use scale::{Axis, nines};
