//! What a stream processor does around a local engine: sends a checkpoint's new files to the DFS, and brings them back.
//!
//! ```text
//! files/NAME           tables: never changed, sent once
//! checkpoint/N/NAME    what changes from one to the next (CURRENT, MANIFEST, OPTIONS)
//! checkpoint/N-list    the names of both: written last
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use aquifer_remote::{Content, ObjectName, Remote};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::failure::Failure;

/// Bytes of a request, up and down.
const PART_BYTES: u64 = 8 << 20;

/// Requests under way at once, up and down.
const PARTS_IN_FLIGHT: usize = 8;

/// Longest list of files.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// Sends the files of a checkpoint that are not on the DFS yet; how many bytes these are.
pub(super) fn upload(
    remote: &Arc<dyn Remote>,
    folder: &Path,
    number: u64,
    sent_before: &mut BTreeSet<String>,
) -> Result<u64, Failure> {
    let mut list = String::new();
    let (mut tables, mut sent) = (BTreeSet::new(), 0);
    for entry in
        std::fs::read_dir(folder).map_err(|error| Failure::local("cannot list", folder, error))?.flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_table = name.ends_with(".sst");
        let object = if is_table { format!("files/{name}") } else { format!("checkpoint/{number}/{name}") };
        list.push_str(&format!("{name} {object}\n"));
        if is_table {
            tables.insert(name.clone());
        }
        if !is_table || !sent_before.contains(&name) {
            sent += send(remote, &entry.path(), &object)?;
        }
    }
    let name = ObjectName::new(format!("checkpoint/{number:010}-list"))?;
    aquifer_io::block_on(remote.put(&name, Content::from(bytes::Bytes::from(list))))?;
    *sent_before = tables;
    Ok(sent)
}

fn send(remote: &Arc<dyn Remote>, path: &Path, object: &str) -> Result<u64, Failure> {
    let failed = |error| Failure::local("cannot read", path, error);
    let name = ObjectName::new(object)?;
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let part = |at: u64| -> Result<Content, Failure> {
        let mut part = vec![0; usize::try_from(PART_BYTES.min(bytes - at)).unwrap_or(0)];
        file.read_exact_at(&mut part, at).map_err(failed)?;
        Ok(Content::from(bytes::Bytes::from(part)))
    };
    aquifer_io::block_on(async {
        if bytes <= PART_BYTES {
            remote.put(&name, part(0)?).await?;
            return Ok(bytes);
        }
        let mut upload = remote.upload(&name).await?;
        let mut under_way = stream::FuturesUnordered::new();
        let mut at = 0;
        while at < bytes {
            if under_way.len() == PARTS_IN_FLIGHT {
                under_way.next().await.transpose()?;
            }
            under_way.push(upload.part(part(at)?));
            at += PART_BYTES;
        }
        while let Some(part) = under_way.next().await {
            part?;
        }
        upload.finish().await?;
        Ok(bytes)
    })
}

/// Brings the files of the newest checkpoint into a folder.
pub(super) fn download(remote: &Arc<dyn Remote>, folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::local("cannot make the folder", folder, error))?;
    aquifer_io::block_on(async {
        let (mut newest, mut after) = (None, None);
        loop {
            let page = remote.list("checkpoint/", after.as_ref(), 1000).await?;
            after = page.entries.last().map(|entry| entry.name.clone());
            let lists = page
                .entries
                .into_iter()
                .map(|entry| entry.name)
                .filter(|name| name.as_str().ends_with("-list"));
            newest = lists.max().max(newest);
            if !page.more {
                break;
            }
        }
        let newest =
            newest.ok_or_else(|| Failure::Other("there is no checkpoint on the DFS to restore".into()))?;
        let list = remote.get(&newest, LIST_BYTES_MAX).await?;
        let list = String::from_utf8_lossy(&list).into_owned();
        let mut parts = Vec::new();
        for (name, object) in list.lines().filter_map(|line| line.split_once(' ')) {
            let object = ObjectName::new(object)?;
            let path = folder.join(name);
            let file = File::create(&path).map_err(|error| Failure::local("cannot write", &path, error))?;
            let file = Arc::new(file);
            let bytes = remote.head(&object).await?.bytes;
            let ranges = (0..bytes).step_by(usize::try_from(PART_BYTES).unwrap_or(usize::MAX));
            parts.extend(
                ranges.map(|at| (Arc::clone(&file), object.clone(), at..(at + PART_BYTES).min(bytes))),
            );
        }
        let parts = parts.into_iter().map(|(file, object, range)| async move {
            let at = range.start;
            let bytes = remote.get_range(&object, range).await?;
            file.write_all_at(&bytes, at).map_err(|error| Failure::local("cannot write into", folder, error))
        });
        stream::iter(parts).buffer_unordered(PARTS_IN_FLIGHT).try_collect::<()>().await
    })
}
