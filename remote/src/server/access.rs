//! Who may do what: every request is signed with the server's key, and a read-only server takes no writes.

use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, s3_error};

/// The operations of a reader, by S3's names.
const READS: [&str; 5] = ["GetObject", "HeadObject", "HeadBucket", "ListObjectsV2", "GetBucketLocation"];

/// See the module.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) read_only: bool,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        if self.read_only && !READS.contains(&context.s3_op().name()) {
            return Err(s3_error!(AccessDenied, "this bucket is read-only"));
        }
        Ok(())
    }
}
