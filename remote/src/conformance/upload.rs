//! The checks of multipart uploads.

use futures_util::future::join_all;

use super::suite::{Check, Suite, expect_error, index, pattern, text};
use crate::content::Content;
use crate::error::RemoteErrorKind;
use crate::store::UPLOAD_PART_BYTES_MIN;

impl Suite {
    pub(super) async fn uploads(&self) -> Check {
        let part = index(UPLOAD_PART_BYTES_MIN)?;
        for (label, sizes) in
            [("three", vec![part, part + 17, 1_000]), ("one-short", vec![5]), ("none", vec![])]
        {
            let name = self.name(&format!("upload/{label}"))?;
            let mut upload = self.remote.upload(&name).await.map_err(text)?;
            let mut whole = Vec::new();
            let mut parts = Vec::new();
            for (seed, bytes) in sizes.into_iter().enumerate() {
                let content = pattern(seed as u64 + 11, bytes);
                whole.extend_from_slice(&content);
                parts.push(upload.part(Content::from(content)));
            }
            for sent in join_all(parts).await {
                sent.map_err(text)?;
            }
            let early = expect_error(self.remote.head(&name).await)?;
            require!(early.kind() == RemoteErrorKind::NotFound, "{label} visible before finish: {early:?}");
            upload.finish().await.map_err(text)?;
            let read = self.remote.get(&name, 100 << 20).await.map_err(text)?;
            require!(read == whole, "{label}: read back differs, {} bytes of {}", read.len(), whole.len());
        }
        Ok(())
    }

    pub(super) async fn upload_misuse(&self) -> Check {
        let name = self.name("upload/misuse")?;
        let mut upload = self.remote.upload(&name).await.map_err(text)?;
        upload.part(Content::from(&b"short"[..])).await.map_err(text)?;
        let after_short = expect_error(upload.part(Content::from(&b"more"[..])).await)?;
        require!(after_short.kind() == RemoteErrorKind::Invalid, "part after a short one: {after_short:?}");
        let empty = expect_error(upload.part(Content::new()).await)?;
        require!(empty.kind() == RemoteErrorKind::Invalid, "empty part: {empty:?}");
        upload.abort().await.map_err(text)?;
        let mut unfinished = self.remote.upload(&name).await.map_err(text)?;
        drop(unfinished.part(Content::from(&b"dropped"[..])));
        let finish = expect_error(unfinished.finish().await)?;
        require!(finish.kind() == RemoteErrorKind::Invalid, "finish with a lost part: {finish:?}");
        let error = expect_error(self.remote.head(&name).await)?;
        require!(error.kind() == RemoteErrorKind::NotFound, "misused uploads left an object: {error:?}");
        Ok(())
    }

    pub(super) async fn upload_abandoned(&self) -> Check {
        let name = self.name("upload/abandoned")?;
        let mut upload = self.remote.upload(&name).await.map_err(text)?;
        upload.part(Content::from(&b"part"[..])).await.map_err(text)?;
        drop(upload);
        let error = expect_error(self.remote.head(&name).await)?;
        require!(error.kind() == RemoteErrorKind::NotFound, "an abandoned upload left an object: {error:?}");
        Ok(())
    }
}
