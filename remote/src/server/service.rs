//! The S3 requests that the embedded server answers, between `s3s` (HTTP, signatures, XML) and the folder.
//!
//! | request | notes |
//! |---|---|
//! | PUT object | `If-None-Match: *` is atomic; any other condition is refused, none is ever ignored |
//! | GET object | whole or one range |
//! | HEAD object, HEAD bucket, DELETE object | |
//! | `ListObjectsV2` | prefix, start-after, continuation token, max-keys, delimiter, encoding-type |
//! | multipart | create, part, complete (also with `If-None-Match: *`), abort |
//!
//! Metadata, tags and checksums sent along are not kept. Everything else answers 501.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    PutObjectInput, PutObjectOutput, Range, StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};

use super::folder::{Folder, Meta, Staged};
use super::list::{self, Query};
use super::listing::listing;
use super::refuse::{blocking, blocking_upload, failed, publish_of, upload_failed};
use super::stream::{self, CHUNK_BYTES, FileStream};
use super::uploads::{PartPlace, Uploads};

/// Largest object in one PUT and largest part, S3's rule. It counts too where the length is not announced.
pub(super) const BODY_BYTES_MAX: u64 = 5 << 30;
/// Bytes of a body gathered in memory before they go to the file.
const GATHER_BYTES: usize = 1 << 20;

/// The backend behind `s3s`.
pub(super) struct Service {
    pub(super) bucket: String,
    /// Largest body of one request.
    pub(super) body_bytes_max: u64,
    pub(super) folder: Arc<Folder>,
    pub(super) uploads: Arc<Uploads>,
}

impl Service {
    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if bucket == self.bucket {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket, "this server has another bucket"))
        }
    }

    /// A key that can be created here. Control characters could not be told in a listing, which is XML.
    fn check_new_key(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket)?;
        if key.chars().any(char::is_control) {
            return Err(s3_error!(InvalidArgument, "a key with control characters is not taken"));
        }
        Ok(())
    }

    /// Receives a body into a temporary file. Memory: one gathering.
    async fn receive(
        &self,
        staged: Option<Staged>,
        body: Option<StreamingBlob>,
        announced: Option<i64>,
    ) -> S3Result<Received> {
        if announced.is_some_and(|bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes > self.body_bytes_max))
        {
            return Err(s3_error!(EntityTooLarge));
        }
        let mut received = Received { staged, rest: Vec::new() };
        let Some(mut body) = body else { return Ok(received) };
        let (mut gathered, mut all_bytes) = (0_usize, 0_u64);
        while let Some(chunk) = body.next().await {
            // Also a body that does not match its signed hash or ends early: nothing of it may become an object.
            let chunk = chunk
                .map_err(|error| s3_error!(IncompleteBody, "the body did not arrive as signed: {}", error))?;
            gathered = gathered.saturating_add(chunk.len());
            all_bytes = all_bytes.saturating_add(chunk.len() as u64);
            if all_bytes > self.body_bytes_max {
                return Err(s3_error!(EntityTooLarge));
            }
            received.rest.push(chunk);
            if gathered >= GATHER_BYTES {
                gathered = 0;
                let folder = Arc::clone(&self.folder);
                received = blocking(move || {
                    let staged = received.into_staged(&folder)?;
                    Ok(Received { staged: Some(staged), rest: Vec::new() })
                })
                .await?;
            }
        }
        Ok(received)
    }
}

/// A body that has arrived: what is in a file already and what is not.
struct Received {
    staged: Option<Staged>,
    rest: Vec<Bytes>,
}

impl Received {
    fn into_staged(self, folder: &Folder) -> io::Result<Staged> {
        let mut staged = match self.staged {
            Some(staged) => staged,
            None => folder.stage()?,
        };
        staged.write(&self.rest)?;
        Ok(staged)
    }
}

fn etag(meta: &Meta) -> Option<ETag> {
    Some(ETag::Strong(meta.etag.clone()))
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The bytes to send of an object of `bytes` bytes.
fn span(range: Option<Range>, bytes: u64) -> S3Result<std::ops::Range<u64>> {
    match range {
        None => Ok(0..bytes),
        Some(range) => range.check(bytes).map_err(|_| s3_error!(InvalidRange)),
    }
}

/// The body of an answer: small ranges whole, large ones in chunks.
///
/// Bytes in the page cache are read here and now, which costs less than going to another thread; the disk is waited for on the
/// blocking pool.
async fn body_of(file: File, span: &std::ops::Range<u64>) -> S3Result<StreamingBlob> {
    let (start, left) = (span.start, span.end.saturating_sub(span.start));
    let Some(bytes) = usize::try_from(left).ok().filter(|bytes| *bytes <= CHUNK_BYTES) else {
        return Ok(StreamingBlob::new(FileStream::new(file, start, left)));
    };
    let chunk = match stream::read_cached(&file, start, bytes) {
        Some(chunk) => chunk,
        None => blocking(move || stream::read(&file, start, bytes)).await?,
    };
    Ok(StreamingBlob::from(Body::from(chunk)))
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        self.check_new_key(&input.bucket, &input.key)?;
        let publish = publish_of(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let received = self.receive(None, input.body, input.content_length).await?;
        let folder = Arc::clone(&self.folder);
        let meta = blocking(move || {
            let staged = received.into_staged(&folder)?;
            folder.publish(&staged, &input.key, publish)
        })
        .await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: etag(&meta), ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        if input.if_match.is_some()
            || input.if_none_match.is_some()
            || input.if_modified_since.is_some()
            || input.if_unmodified_since.is_some()
            || input.part_number.is_some()
        {
            return Err(s3_error!(
                NotImplemented,
                "conditions and part numbers on reads are not implemented"
            ));
        }
        let (file, meta) = self.folder.open_object(&input.key).map_err(|error| failed(&error))?;
        let span = span(input.range, meta.bytes)?;
        let body = body_of(file, &span).await?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body),
            content_length: Some(length(span.end.saturating_sub(span.start))),
            content_range: input
                .range
                .map(|_| format!("bytes {}-{}/{}", span.start, span.end.saturating_sub(1), meta.bytes)),
            e_tag: etag(&meta),
            last_modified: Some(Timestamp::from(meta.modified)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let folder = Arc::clone(&self.folder);
        let meta = blocking(move || folder.meta(&input.key)).await?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length(meta.bytes)),
            e_tag: etag(&meta),
            last_modified: Some(Timestamp::from(meta.modified)),
            ..HeadObjectOutput::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check_bucket(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        if input.if_match.is_some() {
            return Err(s3_error!(NotImplemented, "conditions on deletes are not implemented"));
        }
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.delete(&input.key)).await?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), hyper::StatusCode::NO_CONTENT))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let asked = input.max_keys.unwrap_or(1_000);
        let entries_max = usize::try_from(asked)
            .map_err(|_| s3_error!(InvalidArgument, "max-keys is negative"))?
            .min(list::ENTRIES_MAX);
        let continue_after = match input.continuation_token.as_deref() {
            None => None,
            Some(token) => {
                Some(list::entry_of(token).ok_or_else(|| s3_error!(InvalidArgument, "continuation-token"))?)
            }
        };
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            start_after: input.start_after.clone(),
            continue_after,
            entries_max,
        };
        let folder = Arc::clone(&self.folder);
        let (entries, next) = if entries_max == 0 {
            (Vec::new(), None)
        } else {
            blocking(move || list::page(&folder, &query)).await?
        };
        Ok(S3Response::new(listing(input, asked, entries, next.as_deref())))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        self.check_new_key(&input.bucket, &input.key)?;
        let (folder, uploads, key) = (Arc::clone(&self.folder), Arc::clone(&self.uploads), input.key.clone());
        let id = blocking_upload(move || uploads.create(&folder, &key, aquifer_io::now())).await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let (id, number) = (input.upload_id, input.part_number);
        let announced = input.content_length.and_then(|bytes| u64::try_from(bytes).ok());
        let place = self.uploads.place(&self.folder, &id, &input.key, number, announced);
        // Held to the end of the request, so that nobody throws the upload away meanwhile.
        let PartPlace { staged, start, busy: _busy } = place.map_err(|error| upload_failed(&error))?;
        let received = self.receive(Some(staged), input.body, input.content_length).await?;
        let (folder, uploads) = (Arc::clone(&self.folder), Arc::clone(&self.uploads));
        let etag = blocking_upload(move || {
            let staged = received.into_staged(&folder)?;
            uploads.keep(&folder, &id, number, staged, start)
        })
        .await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let publish = publish_of(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let mut listed = Vec::new();
        for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            match (part.part_number, part.e_tag) {
                (Some(number), Some(etag)) => listed.push((number, etag.value().to_owned())),
                _ => return Err(s3_error!(InvalidPart)),
            }
        }
        let (folder, uploads, key) = (Arc::clone(&self.folder), Arc::clone(&self.uploads), input.key.clone());
        let meta =
            blocking_upload(move || uploads.complete(&folder, &input.upload_id, &key, &listed, publish))
                .await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: etag(&meta),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.check_bucket(&input.bucket)?;
        let (folder, uploads) = (Arc::clone(&self.folder), Arc::clone(&self.uploads));
        blocking_upload(move || uploads.abort(&folder, &input.upload_id, &input.key)).await?;
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), hyper::StatusCode::NO_CONTENT))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use s3s::S3ErrorCode;

    use super::*;
    use crate::server::uploads::UploadLimits;

    /// A body that came in chunks, without its length, was taken until the disk was full.
    #[test]
    fn a_body_of_unknown_length_has_a_bound_too() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let limits = UploadLimits { uploads_max: 1, age_max: Duration::from_secs(1) };
        let uploads = Arc::new(Uploads::new(limits));
        let service = Service { bucket: "aquifer".to_owned(), body_bytes_max: 3 << 20, folder, uploads };
        let receive = |bytes: usize| {
            let body = Some(StreamingBlob::from(Body::from(vec![7; bytes])));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(service.receive(None, body, None)).map(drop)
        };
        receive(3 << 20).unwrap();
        let error = receive((3 << 20) + 1).unwrap_err();
        assert_eq!(error.code(), &S3ErrorCode::EntityTooLarge);
        assert_eq!(std::fs::read_dir(dir.path().join("temporary")).unwrap().count(), 0);
    }
}
