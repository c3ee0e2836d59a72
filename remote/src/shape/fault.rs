//! What goes wrong with requests, and how often.

use std::fmt;
use std::str::FromStr;

/// A rate of this is every request: rates are in millionths.
pub const RATE_UNIT: u32 = 1_000_000;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The server answers 503 and has not tried. Written `503`.
    Unavailable,
    /// The connection is reset before the request was applied. Written `reset-before`.
    ResetBefore,
    /// The request is applied, then the connection is reset: the answer is lost. Written `reset-after`.
    ResetAfter,
    /// The answer is whole, but the connection closes late. Written `slow-close`.
    SlowClose,
    /// The answer's body ends before its announced length. Of an answer without a body, nothing happens. Written `truncated`.
    Truncated,
    /// Nothing more comes, and the connection stays open. Written `stall`.
    Stall,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Unavailable,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::SlowClose,
        Self::Truncated,
        Self::Stall,
    ];

    /// The name as it is written in rates.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "503",
            Self::ResetBefore => "reset-before",
            Self::ResetAfter => "reset-after",
            Self::SlowClose => "slow-close",
            Self::Truncated => "truncated",
            Self::Stall => "stall",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How often each fault happens, in millionths of the requests ([`RATE_UNIT`]); at most one to a request. The default is never.
///
/// Written `503=2%,reset-after=0.5%`; `all=2%` sets every kind, and what follows it overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// [`Fault::Unavailable`].
    pub unavailable: u32,
    /// [`Fault::ResetBefore`].
    pub reset_before: u32,
    /// [`Fault::ResetAfter`].
    pub reset_after: u32,
    /// [`Fault::SlowClose`].
    pub slow_close: u32,
    /// [`Fault::Truncated`].
    pub truncated: u32,
    /// [`Fault::Stall`].
    pub stall: u32,
}

/// Rates that cannot be read or make more than every request fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "fault rates \"{text}\": {what}; write for example 503=2%,reset-after=0.5% with kinds 503, reset-before, reset-after, \
     slow-close, truncated, stall or all"
)]
pub struct BadRates {
    text: String,
    what: &'static str,
}

impl FaultRates {
    /// The same rate, in millionths, for every kind.
    #[must_use]
    pub fn each(rate: u32) -> Self {
        let mut rates = Self::default();
        Fault::ALL.into_iter().for_each(|fault| *rates.rate_mut(fault) = rate);
        rates
    }

    /// The rate of a kind, in millionths.
    #[must_use]
    pub fn rate(mut self, fault: Fault) -> u32 {
        *self.rate_mut(fault)
    }

    /// The rates of all kinds together, in millionths; what is above [`RATE_UNIT`] never comes to pass.
    #[must_use]
    pub fn sum(self) -> u64 {
        Fault::ALL.into_iter().map(|fault| u64::from(self.rate(fault))).sum()
    }

    /// True when nothing ever goes wrong.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.sum() == 0
    }

    fn rate_mut(&mut self, fault: Fault) -> &mut u32 {
        match fault {
            Fault::Unavailable => &mut self.unavailable,
            Fault::ResetBefore => &mut self.reset_before,
            Fault::ResetAfter => &mut self.reset_after,
            Fault::SlowClose => &mut self.slow_close,
            Fault::Truncated => &mut self.truncated,
            Fault::Stall => &mut self.stall,
        }
    }
}

impl FromStr for FaultRates {
    type Err = BadRates;

    fn from_str(text: &str) -> Result<Self, BadRates> {
        let bad = |what| BadRates { text: text.chars().take(80).collect(), what };
        let mut rates = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (kind, rate) = entry.split_once('=').ok_or_else(|| bad("a rate is missing"))?;
            let rate = parse_rate(rate.trim()).ok_or_else(|| bad("a rate is no share from 0% to 100%"))?;
            if kind.trim() == "all" {
                rates = Self::each(rate);
                continue;
            }
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == kind.trim());
            *rates.rate_mut(fault.ok_or_else(|| bad("unknown kind"))?) = rate;
        }
        if rates.sum() > u64::from(RATE_UNIT) {
            return Err(bad("together they are more than 100%"));
        }
        Ok(rates)
    }
}

/// `2%` or `0.02`, in millionths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 to a million, as checked"
)]
fn parse_rate(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 10_000.0),
        None => (text, f64::from(RATE_UNIT)),
    };
    let rate = (number.trim_end().parse::<f64>().ok()? * unit).round();
    (0.0..=f64::from(RATE_UNIT)).contains(&rate).then_some(rate as u32)
}

/// Decides for each request whether something goes wrong with it. The seed is in the generator that the caller brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// How often.
    pub rates: FaultRates,
}

impl FaultPlan {
    /// A plan with these rates.
    #[must_use]
    pub fn new(rates: FaultRates) -> Self {
        Self { rates }
    }

    /// What goes wrong with the next request. Draws one number whatever the rates, so that they do not change what else follows
    /// from a seed.
    pub fn next(&self, chance: &mut fastrand::Rng) -> Option<Fault> {
        let mut draw = chance.u32(..RATE_UNIT);
        for fault in Fault::ALL {
            let rate = self.rates.rate(fault);
            if draw < rate {
                return Some(fault);
            }
            draw -= rate;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_met_and_follow_the_seed() {
        let plan = FaultPlan::new("503=2%,stall=0.5%,truncated=0.03".parse().unwrap());
        let draw = |seed| {
            let mut chance = fastrand::Rng::with_seed(seed);
            (0..100_000).map(|_| plan.next(&mut chance)).collect::<Vec<_>>()
        };
        let drawn = draw(3);
        assert_eq!(drawn, draw(3));
        assert_ne!(drawn, draw(4));
        for (fault, right) in [
            (Some(Fault::Unavailable), 2_000_i64),
            (Some(Fault::Stall), 500),
            (Some(Fault::Truncated), 3_000),
            (Some(Fault::ResetAfter), 0),
            (None, 94_500),
        ] {
            let found = i64::try_from(drawn.iter().filter(|&&drawn| drawn == fault).count()).unwrap();
            assert!((found - right).abs() <= right / 6, "{fault:?}: {found}");
        }
    }

    #[test]
    fn every_request_or_none() {
        let mut chance = fastrand::Rng::with_seed(1);
        let always = FaultPlan::new("reset-after=100%".parse().unwrap());
        let never = FaultPlan::default();
        for _ in 0..1_000 {
            assert_eq!(always.next(&mut chance), Some(Fault::ResetAfter));
            assert_eq!(never.next(&mut chance), None);
        }
        assert!(never.rates.is_none() && !always.rates.is_none());
    }

    #[test]
    fn rates_are_read_and_bad_ones_told_apart() {
        assert_eq!("".parse(), Ok(FaultRates::default()));
        assert_eq!("all=2%".parse(), Ok(FaultRates::each(20_000)));
        let rates: FaultRates = "all=1%, stall=0".parse().unwrap();
        assert_eq!(rates, FaultRates { stall: 0, ..FaultRates::each(10_000) });
        for (text, what) in [
            ("503", "missing"),
            ("503=x", "no share"),
            ("503=-1%", "no share"),
            ("503=101%", "no share"),
            ("503=NaN", "no share"),
            ("nonsense=1%", "unknown kind"),
            ("all=20%", "more than 100%"),
        ] {
            let error = text.parse::<FaultRates>().unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("slow-close"), "{text}: {error}");
        }
    }
}
