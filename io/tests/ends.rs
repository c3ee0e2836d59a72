//! Executors that end leave nothing behind, also when other threads still wake them. Counts what the whole process
//! holds, so it is alone in its process.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;

    use aquifer_io::{
        Backend, BackendChoice, ExecutorOptions, File, OpenOptions, acquire_buffer, select_backend,
        spawn_executor, spawn_local, yield_now,
    };

    const LIVES: usize = 40;

    /// What the open descriptors of this process are, sorted.
    fn descriptors() -> Vec<String> {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        let mut names: Vec<_> = links.map(|name| name.display().to_string()).collect();
        names.sort();
        names
    }

    /// Reads are in flight, a file is open and never closed, and three threads wake without end, when `main` ends.
    fn one_life(backend: Backend) {
        let options = ExecutorOptions { backend, ..ExecutorOptions::default() };
        let stop = Arc::new(AtomicBool::new(false));
        let (send, wakers) = std::sync::mpsc::channel();
        let executor = spawn_executor(options, move || async move {
            let options = OpenOptions { read: true, direct: true, ..OpenOptions::default() };
            let file = File::open(std::path::Path::new("/proc/self/exe"), options).await.unwrap();
            for block in 0..16 {
                let buffer = acquire_buffer(4096).await.unwrap();
                let mut reading = Box::pin(file.read_at(block * 4096, buffer));
                assert!(futures_util::poll!(reading.as_mut()).is_pending());
            }
            drop(spawn_local(async move {
                std::future::poll_fn(|context| {
                    for _ in 0..3 {
                        let _ = send.send(context.waker().clone());
                    }
                    Poll::<()>::Pending
                })
                .await;
            }));
            for _ in 0..100 {
                yield_now().await;
            }
            // Reads are still in flight on their own; the file goes with the task that holds it.
            drop(spawn_local(async move {
                std::future::pending::<()>().await;
                drop(file);
            }));
            yield_now().await;
        })
        .unwrap();
        let threads: Vec<_> = wakers
            .iter()
            .take(3)
            .map(|waker| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        waker.wake_by_ref();
                        drop(waker.clone());
                    }
                })
            })
            .collect();
        executor.join().unwrap();
        // The wakers outlive the executor, and are used and dropped all the same.
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn executors_that_end_leave_no_descriptor_behind() {
        for choice in
            [BackendChoice::Uring, BackendChoice::TokioUring, BackendChoice::Glommio, BackendChoice::Threads]
        {
            let Ok(selection) = select_backend(choice) else {
                println!("skipped: {choice} does not work here");
                continue;
            };
            let is_glommio = selection.backend == Backend::Glommio;
            assert_eq!(is_glommio, selection.note.is_some_and(|note| note.contains("one descriptor open")));
            one_life(selection.backend);
            let mut expected = descriptors();
            for _ in 0..LIVES {
                // An engine that opens asks for its backend each time: that leaves nothing more behind. (Engines of two shards left three
                // descriptors each time they were opened, one of them by the probe.)
                select_backend(choice).unwrap();
                one_life(selection.backend);
                if is_glommio {
                    // glommio never drops the header of a task, and with it the descriptor that wakes its executor.
                    expected.push("anon_inode:[eventfd]".to_owned());
                }
            }
            expected.sort();
            assert_eq!(descriptors(), expected, "{choice}");
        }
    }
}
