//! Promises of files and folders.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aquifer_io::{
    Backend, EXTENTS_MAX, ExecutorOptions, File, IoErrorKind, OpenOptions, SECTOR_BYTES, acquire_buffer, fs,
    metrics, random_u64, try_acquire_buffer,
};

use super::{DIRECT, READ_WRITE, file_of_blocks, fill, filled, folder, is_filled, options, read, run};

pub(crate) fn random_writes_and_reads_match_a_byte_array(backend: Backend) {
    for open in [DIRECT, READ_WRITE] {
        let folder = folder();
        let path = folder.path().join("file");
        run(options(backend), move || async move {
            const SECTORS: u64 = 512;
            let file = File::open(&path, open).await.unwrap();
            let align = file.align_bytes() as u64;
            let mut model = vec![0u8; SECTORS as usize * SECTOR_BYTES];
            file.truncate(model.len() as u64).await.unwrap();
            for round in 0..400 {
                let offset = random_u64() % (model.len() as u64 / align) * align;
                let bytes_max = model.len() as u64 - offset;
                let bytes = ((random_u64() % 32 + 1) * align).min(bytes_max) as usize;
                let range = offset as usize..offset as usize + bytes;
                if round % 2 == 0 {
                    let mut buffer = acquire_buffer(bytes).await.unwrap();
                    fill(&mut buffer, random_u64());
                    model[range].copy_from_slice(&buffer);
                    file.write_at(offset, buffer).await.0.unwrap();
                } else {
                    assert_eq!(&read(&file, offset, bytes).await.unwrap()[..], &model[range]);
                }
            }
            file.sync_data().await.unwrap();
            file.close().await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), model);
            assert_eq!((metrics().reads, metrics().writes), (200, 200));
            assert_eq!(metrics().buffer_bytes, 0);
        });
    }
}

pub(crate) fn the_end_of_the_file_is_an_error_that_says_where(backend: Backend) {
    for open in [DIRECT, READ_WRITE] {
        let folder = folder();
        let path = folder.path().join("file");
        // One whole block and a tail that is no multiple of anything.
        std::fs::write(&path, vec![9; 4096 + 1000]).unwrap();
        run(options(backend), move || async move {
            let file = File::open(&path, open).await.unwrap();
            assert_eq!(file.bytes().await.unwrap(), 5096);
            read(&file, 0, 4096).await.unwrap();

            let (outcome, buffer) = file.read_at(0, acquire_buffer(16384).await.unwrap()).await;
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), IoErrorKind::UnexpectedEof);
            assert_eq!((error.operation(), error.path(), error.offset()), ("read", Some(&*path), Some(0)));
            assert_eq!((error.expected(), error.found()), (Some("16384 bytes"), Some("5096 bytes")));
            assert_eq!(buffer.len(), 16384, "the buffer comes back whole");
            assert!(buffer[..5096].iter().all(|byte| *byte == 9));

            for offset in [8192, 1 << 40] {
                let error = read(&file, offset, 4096).await.unwrap_err();
                assert_eq!(error.kind(), IoErrorKind::UnexpectedEof);
                assert_eq!(error.found(), Some("0 bytes"));
            }
        });
    }
}

pub(crate) fn misaligned_requests_are_refused_before_the_kernel(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    run(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        for offset in [1, 100, 511, 513] {
            let error = read(&file, offset, 4096).await.unwrap_err();
            assert_eq!(error.kind(), IoErrorKind::Misaligned);
            assert_eq!(error.offset(), Some(offset));
            let (outcome, _) = file.write_at(offset, acquire_buffer(4096).await.unwrap()).await;
            assert_eq!(outcome.unwrap_err().kind(), IoErrorKind::Misaligned);
        }
        for bytes in [0, 1, 4095] {
            assert_eq!(acquire_buffer(bytes).await.unwrap_err().kind(), IoErrorKind::Misaligned);
        }
        let far = read(&file, u64::MAX - 4095, 4096).await.unwrap_err();
        assert_eq!(far.kind(), IoErrorKind::Other, "{far}");
        assert_eq!(metrics().buffer_bytes, 0);
    });
}

/// Direct I/O is on where a plain `O_DIRECT` open works, and off, without an error, where it does not (proc).
pub(crate) fn direct_where_the_file_system_permits_it(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    run(options(backend), move || async move {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::open(&path, DIRECT).await.unwrap();
        let direct_flag = rustix::fs::OFlags::DIRECT.bits() as i32;
        let permitted = std::fs::File::options().read(true).custom_flags(direct_flag).open(&path).is_ok();
        assert_eq!(file.is_direct(), permitted);
        assert!(file.align_bytes() >= SECTOR_BYTES && file.align_bytes() <= 4096);
        assert!(!File::open(&path, READ_WRITE).await.unwrap().is_direct());

        let only_read = OpenOptions { read: true, direct: true, ..OpenOptions::default() };
        let proc = File::open(Path::new("/proc/self/status"), only_read).await.unwrap();
        assert!(!proc.is_direct());
        let (outcome, buffer) = proc.read_at(0, acquire_buffer(65536).await.unwrap()).await;
        assert_eq!(outcome.unwrap_err().kind(), IoErrorKind::UnexpectedEof);
        assert!(buffer.starts_with(b"Name:"));
    });
}

pub(crate) fn missing_files_and_folders_are_clear_errors(backend: Backend) {
    let folder = folder();
    let root = folder.path().to_owned();
    let file = root.join("file");
    std::fs::write(&file, b"x").unwrap();
    run(options(backend), move || async move {
        let plain = OpenOptions { read: true, ..OpenOptions::default() };
        for path in [root.join("missing"), root.join("no/such/folder"), file.join("below a file")] {
            let error = File::open(&path, plain).await.unwrap_err();
            assert_eq!(error.kind(), IoErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        let again = OpenOptions { create_new: true, ..READ_WRITE };
        assert_eq!(File::open(&file, again).await.unwrap_err().errno(), Some(17));
        assert!(File::open(&root, READ_WRITE).await.is_err(), "a folder is no file");
        assert!(File::open(Path::new("a\0b"), plain).await.is_err(), "no name has a zero byte");
        assert_eq!(metrics().operations_in_flight, 0);
    });
}

pub(crate) fn a_full_device_is_no_space(backend: Backend) {
    run(options(backend), || async {
        let write = OpenOptions { write: true, direct: true, ..OpenOptions::default() };
        let file = File::open(Path::new("/dev/full"), write).await.unwrap();
        let (outcome, buffer) = file.write_at(0, acquire_buffer(4096).await.unwrap()).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::NoSpace, "{error}");
        assert_eq!(error.to_string(), "write /dev/full at offset 0: No space left on device (os error 28)");
        assert_eq!(buffer.len(), 4096);
    });
}

pub(crate) fn length_space_and_sync(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    run(options(backend), move || async move {
        use std::os::unix::fs::MetadataExt;
        let file = File::open(&path, DIRECT).await.unwrap();
        file.allocate(0).await.unwrap();
        assert_eq!(file.bytes().await.unwrap(), 0);
        file.allocate(1 << 20).await.unwrap();
        assert_eq!(file.bytes().await.unwrap(), 1 << 20);
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20, "really reserved");
        assert!(read(&file, 4096, 4096).await.unwrap().iter().all(|byte| *byte == 0));
        file.truncate(8192).await.unwrap();
        assert_eq!(file.bytes().await.unwrap(), 8192);
        file.sync_data().await.unwrap();
        let error = file.allocate(1 << 62).await.unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::NoSpace, "{error}");
        file.close().await.unwrap();
    });
}

pub(crate) fn folders_and_names(backend: Backend) {
    let folder = folder();
    let root = folder.path().to_owned();
    run(options(backend), move || async move {
        let deep = root.join("a/b/c");
        fs::create_dir_all(&deep).await.unwrap();
        fs::create_dir_all(&deep).await.unwrap();
        file_of_blocks(&deep.join("file"), 1);
        fs::rename(&deep.join("file"), &deep.join("other")).await.unwrap();
        fs::sync_dir(&deep).await.unwrap();
        assert!(deep.join("other").exists() && !deep.join("file").exists());
        assert_eq!(fs::remove_file(&deep.join("file")).await.unwrap_err().kind(), IoErrorKind::NotFound);
        fs::remove_file(&deep.join("other")).await.unwrap();
        let below_a_file = root.join("plain/below");
        std::fs::write(root.join("plain"), b"x").unwrap();
        assert_eq!(fs::create_dir_all(&below_a_file).await.unwrap_err().kind(), IoErrorKind::NotFound);
        fs::remove_dir_all(&root.join("a")).await.unwrap();
        assert!(!root.join("a").exists());

        let first = fs::lock_dir(&root).unwrap();
        assert_eq!(fs::lock_dir(&root).unwrap_err().kind(), IoErrorKind::Locked);
        drop(first);
        fs::lock_dir(&root).unwrap();
    });
    // Without an executor they run in place.
    let missing = folder.path().join("missing");
    let outcome = aquifer_io::block_on(fs::remove_file(&missing));
    assert_eq!(outcome.unwrap_err().kind(), IoErrorKind::NotFound);
}

/// New files and folders could be read by every local user, as the umask of most systems lets them. Those that are there keep their modes.
pub(crate) fn what_is_made_is_its_users_alone(backend: Backend) {
    let folder = folder();
    let root = folder.path().to_owned();
    std::fs::write(root.join("wide"), b"x").unwrap();
    std::fs::set_permissions(root.join("wide"), Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("target", root.join("link")).unwrap();
    run(options(backend), move || async move {
        let mode = |name: &str| std::fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
        let new = OpenOptions { create_new: true, ..READ_WRITE };
        for (name, open) in [("one", READ_WRITE), ("two", DIRECT), ("three", new), ("wide", READ_WRITE)] {
            File::open(&root.join(name), open).await.unwrap().close().await.unwrap();
            assert_eq!(mode(name), if name == "wide" { 0o664 } else { 0o600 }, "{name}");
        }
        fs::create_dir_all(&root.join("deep/er")).await.unwrap();
        assert_eq!((mode("deep"), mode("deep/er")), (0o700, 0o700));
        let _lock = fs::lock_dir(&root).unwrap();
        assert_eq!(mode("LOCK"), 0o600);
        // Nor is anything made where somebody's link points.
        File::open(&root.join("link"), READ_WRITE).await.unwrap_err();
        assert!(!root.join("target").exists());
    });
}

pub(crate) fn vectored_reads_fill_every_extent(backend: Backend) {
    const BLOCKS: u64 = 512;
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, BLOCKS);
    // A ring smaller than the vector: the rest waits its turn.
    let small = ExecutorOptions { ring_entries: 8, ..options(backend) };
    for options in [options(backend), small] {
        let path = path.clone();
        run(options, move || async move {
            let file = File::open(&path, DIRECT).await.unwrap();
            for count in [0, 1, 3, 64, 200] {
                let mut extents = Vec::new();
                for _ in 0..count {
                    let block = random_u64() % (BLOCKS - 16);
                    let blocks = random_u64() % 16 + 1;
                    extents.push((block * 4096, acquire_buffer(blocks as usize * 4096).await.unwrap()));
                }
                let asked: Vec<_> = extents.iter().map(|(offset, buffer)| (*offset, buffer.len())).collect();
                let (outcome, extents) = file.read_vectored_at(extents).await;
                outcome.unwrap();
                let came: Vec<_> = extents.iter().map(|(offset, buffer)| (*offset, buffer.len())).collect();
                assert_eq!(came, asked, "in their order");
                for (offset, buffer) in &extents {
                    for (block, bytes) in (offset / 4096..).zip(buffer.chunks(4096)) {
                        assert!(is_filled(bytes, block));
                    }
                }
            }
            assert_eq!(metrics().buffer_bytes, 0);
        });
    }
}

/// All of a vector is with the kernel at once: it is begun by one poll.
pub(crate) fn a_vectored_read_is_one_submission(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, 32);
    run(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        let extents = (0..32).map(|block| (block * 4096, try_acquire_buffer(4096).unwrap())).collect();
        let mut reading = Box::pin(file.read_vectored_at(extents));
        assert!(futures_util::poll!(reading.as_mut()).is_pending());
        assert_eq!(metrics().operations_in_flight, 32);
        let (outcome, extents) = reading.await;
        outcome.unwrap();
        assert!((0..).zip(&extents).all(|(block, (_, buffer))| is_filled(buffer, block)));
    });
}

pub(crate) fn vectored_reads_that_cannot_be_are_errors_that_say_where(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, 8);
    run(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        let extent = |offset| (offset, try_acquire_buffer(4096).unwrap());

        // Across the end of the file: the others are filled, all come back.
        let (outcome, extents) = file.read_vectored_at(vec![extent(0), extent(8 * 4096), extent(4096)]).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (IoErrorKind::UnexpectedEof, "read"));
        assert_eq!((error.path(), error.offset()), (Some(&*path), Some(8 * 4096)));
        assert_eq!((error.expected(), error.found()), (Some("4096 bytes"), Some("0 bytes")));
        assert_eq!(extents.len(), 3);
        assert!(is_filled(&extents[0].1, 0) && is_filled(&extents[2].1, 1));
        drop(extents);

        // One misaligned: none is read.
        let reads = metrics().reads;
        let (outcome, extents) = file.read_vectored_at(vec![extent(0), extent(100)]).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.offset()), (IoErrorKind::Misaligned, Some(100)));
        assert_eq!((extents.len(), metrics().reads), (2, reads));

        // Too many.
        let many: Vec<_> = (0..=EXTENTS_MAX as u64).map(|_| extent(4096)).collect();
        let (outcome, many) = file.read_vectored_at(many).await;
        let error = outcome.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "read vectored {} at offset 4096: too long: expected at most 1024 extents, found 1025 extents",
                path.display()
            )
        );
        assert_eq!((error.kind(), many.len()), (IoErrorKind::TooLong, EXTENTS_MAX + 1));
        drop((many, extents));
        assert_eq!(metrics().buffer_bytes, 0);
    });
}

pub(crate) fn a_punched_hole_reads_as_zeroes_and_gives_its_space_back(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    run(options(backend), move || async move {
        use std::os::unix::fs::MetadataExt;
        const MIB: u64 = 1 << 20;
        let file = File::open(&path, DIRECT).await.unwrap();
        file.write_at(0, filled(MIB as usize, 1).await).await.0.unwrap();
        file.sync_data().await.unwrap();
        let blocks_before = std::fs::metadata(&path).unwrap().blocks();
        file.punch_hole(0, 0).await.unwrap();
        match file.punch_hole(MIB / 4, MIB / 2).await {
            Ok(()) => {}
            Err(error) if error.kind() == IoErrorKind::Unsupported => {
                println!("skipped: the file system has no holes: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(file.bytes().await.unwrap(), MIB);
        let blocks = std::fs::metadata(&path).unwrap().blocks();
        assert!(blocks * 512 <= blocks_before * 512 - MIB / 2, "{blocks_before} blocks, then {blocks}");
        let mut expected = vec![0; MIB as usize];
        fill(&mut expected, 1);
        expected[MIB as usize / 4..MIB as usize * 3 / 4].fill(0);
        assert!(read(&file, 0, MIB as usize).await.unwrap()[..] == expected[..]);

        let error = file.punch_hole(u64::MAX - 5, 10).await.unwrap_err();
        assert_eq!((error.operation(), error.offset()), ("punch hole", Some(u64::MAX - 5)));
        let only_read = OpenOptions { read: true, ..OpenOptions::default() };
        let error = File::open(&path, only_read).await.unwrap().punch_hole(4096, 4096).await.unwrap_err();
        assert_eq!((error.path(), error.offset()), (Some(&*path), Some(4096)));
    });
}

/// A removed file lives until it is closed; its name is free at once.
pub(crate) fn a_file_removed_underneath_still_serves(backend: Backend) {
    let folder = folder();
    let path = folder.path().join("file");
    file_of_blocks(&path, 4);
    run(options(backend), move || async move {
        let file = File::open(&path, DIRECT).await.unwrap();
        fs::remove_file(&path).await.unwrap();
        fs::sync_dir(path.parent().unwrap()).await.unwrap();
        assert!(is_filled(&read(&file, 4096, 4096).await.unwrap(), 1));
        file.write_at(4096, filled(4096, 77).await).await.0.unwrap();
        file.sync_data().await.unwrap();
        assert!(is_filled(&read(&file, 4096, 4096).await.unwrap(), 77));
        let again = OpenOptions { create_new: true, ..DIRECT };
        let other = File::open(&path, again).await.unwrap();
        assert_eq!(other.bytes().await.unwrap(), 0);
        file.close().await.unwrap();
        other.close().await.unwrap();
    });
}
