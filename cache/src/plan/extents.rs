//! From wants to extents: which neighbours one read takes together. A pure function.
//!
//! ```text
//! wants     [--]  [--][-]              [---]      of one object, or of the file, sorted by where they begin
//! extents   [-----------]              [---]      a gap is read along when that costs less than one more request
//! ```
//! Cost model: a request costs as much as `gap_bytes_max` bytes do, and each byte one. So taking two neighbours together pays exactly
//! if fewer bytes than that lie between them.

use std::ops::Range;

/// Bytes that somebody wants, of an object or of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Spans of different groups never share an extent.
    pub(crate) group: u64,
    pub(crate) start: u64,
    /// Exclusive.
    pub(crate) end: u64,
}

/// What an extent may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes that cost as much as one more request.
    pub(crate) gap_bytes_max: u64,
    /// Bytes of an extent of more than one span that is not covered by a single one of them.
    pub(crate) extent_bytes_max: u64,
    /// An extent has at most this many times the bytes that are wanted of it, and `slack_bytes` more.
    pub(crate) amplification_max: u64,
    pub(crate) slack_bytes: u64,
}

/// One read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) span: Span,
    /// Bytes of it that somebody wants.
    pub(crate) wanted_bytes: u64,
    /// Positions of the spans that it covers.
    pub(crate) members: Range<usize>,
}

/// Extents that cover all spans, which come sorted; each span lies in exactly one of them.
pub(crate) fn merge(sorted: impl Iterator<Item = Span>, bounds: &Bounds) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for (at, span) in sorted.enumerate() {
        if let Some(last) = extents.last_mut()
            && let Some(merged) = together(last, span, bounds)
        {
            *last = merged;
            continue;
        }
        let wanted_bytes = span.end.saturating_sub(span.start);
        extents.push(Extent { span, wanted_bytes, members: at..at + 1 });
    }
    extents
}

/// The extent grown by the next span, if that pays and stays within the bounds.
fn together(extent: &Extent, next: Span, bounds: &Bounds) -> Option<Extent> {
    let Extent { span, wanted_bytes, members } = extent;
    debug_assert!((span.group, span.start) <= (next.group, next.start), "spans come sorted");
    if span.group != next.group {
        return None;
    }
    let end = span.end.max(next.end);
    let more_bytes = end.saturating_sub(span.end.max(next.start));
    let wanted_bytes = wanted_bytes + more_bytes;
    let gap_bytes = next.start.saturating_sub(span.end);
    let bytes = end - span.start;
    let allowed = wanted_bytes.saturating_mul(bounds.amplification_max).saturating_add(bounds.slack_bytes);
    // What lies within the extent already costs nothing.
    let fits = end == span.end
        || (gap_bytes <= bounds.gap_bytes_max && bytes <= bounds.extent_bytes_max && bytes <= allowed);
    fits.then(|| Extent {
        span: Span { end, ..*span },
        wanted_bytes,
        members: members.start..members.end + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { gap_bytes_max: 100, extent_bytes_max: 1000, amplification_max: 4, slack_bytes: 50 };

    fn span(start: u64, end: u64) -> Span {
        Span { group: 1, start, end }
    }

    fn ranges(spans: &[Span], bounds: &Bounds) -> Vec<(u64, u64)> {
        merge(spans.iter().copied(), bounds)
            .iter()
            .map(|extent| (extent.span.start, extent.span.end))
            .collect()
    }

    #[test]
    fn by_example() {
        assert_eq!(ranges(&[], &BOUNDS), []);
        assert_eq!(
            ranges(&[span(0, 50), span(150, 200)], &BOUNDS),
            [(0, 200)],
            "the gap is as dear as a request"
        );
        assert_eq!(ranges(&[span(0, 50), span(151, 200)], &BOUNDS), [(0, 50), (151, 200)]);
        assert_eq!(ranges(&[span(0, 5), span(0, 5), span(2, 4)], &BOUNDS), [(0, 5)], "the same bytes once");
        assert_eq!(ranges(&[span(0, 2), span(60, 62)], &BOUNDS), [(0, 62)], "within the slack");
        assert_eq!(
            ranges(&[span(0, 2), span(80, 82)], &BOUNDS),
            [(0, 2), (80, 82)],
            "40 times what is wanted"
        );
        assert_eq!(ranges(&[span(0, 600), span(600, 1001)], &BOUNDS), [(0, 600), (600, 1001)]);
        assert_eq!(ranges(&[span(0, 5000), span(10, 20)], &BOUNDS), [(0, 5000)], "one that is larger alone");
        let other = Span { group: 2, start: 50, end: 60 };
        assert_eq!(ranges(&[span(0, 50), other], &BOUNDS), [(0, 50), (50, 60)], "another object");
    }

    fn union_bytes(spans: &[Span]) -> u64 {
        let (mut bytes, mut end) = (0, 0);
        for span in spans {
            bytes += span.end.saturating_sub(end.max(span.start));
            end = end.max(span.end);
        }
        bytes
    }

    fn cost<'a>(spans: impl Iterator<Item = &'a Span>, bounds: &Bounds) -> u64 {
        spans.map(|span| bounds.gap_bytes_max + span.end - span.start).sum()
    }

    /// Random spans: neighbours, overlaps, far apart, of several objects.
    fn spans(seed: u64) -> Vec<Span> {
        let mut random = fastrand::Rng::with_seed(seed);
        let reach = [300, 3_000, 100_000][random.usize(..3)];
        let mut spans: Vec<_> = (0..random.usize(..200))
            .map(|_| {
                let start = random.u64(..reach);
                Span { group: random.u64(..3), start, end: start + random.u64(1..200) }
            })
            .collect();
        spans.sort_unstable();
        spans
    }

    #[test]
    fn covers_all_within_bounds_and_is_never_dearer_than_no_merging() {
        for seed in 0..2_000 {
            let spans = spans(seed);
            let bounds =
                Bounds { gap_bytes_max: [0, 10, 100, 10_000][usize::try_from(seed % 4).unwrap()], ..BOUNDS };
            let extents = merge(spans.iter().copied(), &bounds);
            let mut next = 0;
            for Extent { span, wanted_bytes, members } in &extents {
                assert_eq!(members.start, next, "seed {seed}: every span once, in order");
                next = members.end;
                let covered = &spans[members.clone()];
                assert!(covered.iter().all(|member| member.group == span.group
                    && span.start <= member.start
                    && member.end <= span.end));
                assert_eq!(*wanted_bytes, union_bytes(covered), "seed {seed}");
                let bytes = span.end - span.start;
                let alone = covered.iter().any(|member| member.end - member.start == bytes);
                let allowed = wanted_bytes * bounds.amplification_max + bounds.slack_bytes;
                assert!(alone || bytes <= bounds.extent_bytes_max && bytes <= allowed, "seed {seed}");
            }
            assert_eq!(next, spans.len());
            let merged = cost(extents.iter().map(|extent| &extent.span), &bounds);
            assert!(merged <= cost(spans.iter(), &bounds), "seed {seed}");
        }
    }
}
