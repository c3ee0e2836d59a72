//! What stores cost: the list prices of their providers.

use std::str::FromStr;

/// What a provider asks, in US dollars. The tables are list prices of 2026 in the provider's first region; prices differ and
/// change, so all fields can be set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// 1,000 of: put, put-if-absent, start, part and finish of an upload.
    pub write_usd_per_1000: f64,
    /// 1,000 of: get, get of a range, head.
    pub read_usd_per_1000: f64,
    /// 1,000 listed pages.
    pub list_usd_per_1000: f64,
    /// 1,000 of: delete, abort of an upload.
    pub delete_usd_per_1000: f64,
    /// A GiB read out of the provider's network. Reads from the same region are free: set 0, or use [`Prices::in_region`].
    pub egress_usd_per_gib: f64,
    /// A GiB stored for a month.
    pub storage_usd_per_gib_month: f64,
}

impl Prices {
    /// Nothing costs anything: one's own machines. Written `none`.
    pub const NONE: Self = Self {
        write_usd_per_1000: 0.0,
        read_usd_per_1000: 0.0,
        list_usd_per_1000: 0.0,
        delete_usd_per_1000: 0.0,
        egress_usd_per_gib: 0.0,
        storage_usd_per_gib_month: 0.0,
    };
    /// AWS S3 Standard. Written `s3`.
    pub const S3: Self = Self {
        write_usd_per_1000: 0.005,
        read_usd_per_1000: 0.000_4,
        list_usd_per_1000: 0.005,
        delete_usd_per_1000: 0.0,
        egress_usd_per_gib: 0.09,
        storage_usd_per_gib_month: 0.023,
    };
    /// Google Cloud Storage Standard. Written `gcs`.
    pub const GCS: Self = Self {
        write_usd_per_1000: 0.005,
        read_usd_per_1000: 0.000_4,
        list_usd_per_1000: 0.005,
        delete_usd_per_1000: 0.0,
        egress_usd_per_gib: 0.12,
        storage_usd_per_gib_month: 0.02,
    };
    /// Azure Blob Storage, hot, locally redundant. Written `azure`.
    pub const AZURE: Self = Self {
        write_usd_per_1000: 0.005,
        read_usd_per_1000: 0.000_4,
        list_usd_per_1000: 0.005,
        delete_usd_per_1000: 0.0,
        egress_usd_per_gib: 0.087,
        storage_usd_per_gib_month: 0.018,
    };

    /// The same, with free reads: for callers in the store's own region.
    #[must_use]
    pub fn in_region(self) -> Self {
        Self { egress_usd_per_gib: 0.0, ..self }
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self::NONE
    }
}

/// No price table has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no price table is called \"{0}\": use s3, gcs, azure or none")]
pub struct UnknownPrices(String);

impl FromStr for Prices {
    type Err = UnknownPrices;

    fn from_str(name: &str) -> Result<Self, UnknownPrices> {
        match name {
            "none" => Ok(Self::NONE),
            "s3" => Ok(Self::S3),
            "gcs" => Ok(Self::GCS),
            "azure" => Ok(Self::AZURE),
            other => Err(UnknownPrices(other.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, right: f64) -> bool {
        (found - right).abs() < 1e-9
    }

    #[test]
    fn tables_are_found_by_name() {
        assert_eq!("s3".parse(), Ok(Prices::S3));
        assert_eq!("none".parse(), Ok(Prices::default()));
        assert!(near("gcs".parse::<Prices>().unwrap().in_region().egress_usd_per_gib, 0.0));
        assert!("azure".parse::<Prices>().is_ok());
        assert!("x".parse::<Prices>().unwrap_err().to_string().contains("use s3, gcs"));
    }
}
