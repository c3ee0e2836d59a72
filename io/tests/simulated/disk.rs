//! Files of simulated worlds: faults, and the file layer over them.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use aquifer_io::simulated::{
    DiskImage, DiskOperation, Effect, Fault, FaultRates, RunEnd, World, WorldOptions,
};
use aquifer_io::{
    File, IoErrorKind, OpenOptions, acquire_buffer, fs, metrics, now, random_u64, spawn_local, yield_now,
};

use super::{READ_WRITE, named, open, read, write};

/// Runs one executor to its end in a world.
fn run<Fut: Future<Output = ()> + 'static>(world: &World, main: impl FnOnce() -> Fut + 'static) {
    world.spawn_executor(named("main"), main).join().unwrap();
}

fn fault(operation: DiskOperation, effect: Effect) -> Fault {
    Fault { operation, path: Some(PathBuf::from("/file")), skip: 0, times: 1, effect }
}

/// Transfers are cut short and delayed at random, and the file layer's users see none of it.
#[test]
fn random_writes_and_reads_match_a_byte_array() {
    let rates = FaultRates {
        short: 500_000,
        delays: 100_000,
        delay_max: Duration::from_secs(1),
        ..FaultRates::default()
    };
    for (seed, direct_align_bytes) in [(1, 512), (2, 4096)] {
        let world =
            World::new(seed, WorldOptions { faults: rates, direct_align_bytes, ..WorldOptions::default() });
        run(&world, move || async move {
            let options = OpenOptions { direct: true, ..READ_WRITE };
            let file = File::open(Path::new("/file"), options).await.unwrap();
            assert_eq!((file.is_direct(), file.align_bytes()), (true, direct_align_bytes));
            let align = direct_align_bytes as u64;
            let mut model = vec![0u8; 64 * direct_align_bytes];
            file.truncate(model.len() as u64).await.unwrap();
            for round in 0..600u32 {
                let offset = random_u64() % 64 * align;
                let bytes = ((random_u64() % 16 + 1) * align).min(model.len() as u64 - offset) as usize;
                let range = offset as usize..offset as usize + bytes;
                if round % 2 == 0 {
                    let byte = (round % 251) as u8;
                    model[range].fill(byte);
                    write(&file, offset, bytes, byte).await.unwrap();
                } else {
                    assert_eq!(&read(&file, offset, bytes).await.unwrap()[..], &model[range]);
                }
            }
            assert_eq!((metrics().reads, metrics().writes), (300, 300));
            assert_eq!(metrics().buffer_bytes, 0);
        });
        let shorts = world.trace().lines().filter(|line| line.contains("short: true")).count();
        assert!(shorts > 100, "{shorts} short transfers");
    }
}

#[test]
fn errors_come_on_demand_and_go() {
    let world = World::new(3, WorldOptions::default());
    run(&world, || async {
        write(&open("/file").await.unwrap(), 0, 4096, 1).await.unwrap();
    });
    for (operation, effect) in [
        (DiskOperation::Open, Effect::Error),
        (DiskOperation::Read, Effect::Error),
        (DiskOperation::Write, Effect::NoSpace),
        (DiskOperation::Sync, Effect::Error),
        (DiskOperation::Space, Effect::NoSpace),
        (DiskOperation::Names, Effect::Error),
    ] {
        world.order_fault(fault(operation, effect));
    }
    world.order_fault(Fault { path: None, ..fault(DiskOperation::SyncDir, Effect::Error) });
    run(&world, || async {
        let path = Path::new("/file");
        assert_eq!(open("/file").await.unwrap_err().errno(), Some(5));
        let file = open("/file").await.unwrap();
        let error = read(&file, 512, 512).await.unwrap_err();
        assert_eq!(error.to_string(), "read /file at offset 512: Input/output error (os error 5)");
        assert_eq!(write(&file, 0, 512, 2).await.unwrap_err().kind(), IoErrorKind::NoSpace);
        assert_eq!(file.sync_data().await.unwrap_err().errno(), Some(5));
        assert_eq!(file.allocate(8192).await.unwrap_err().kind(), IoErrorKind::NoSpace);
        assert_eq!(fs::rename(path, Path::new("/other")).await.unwrap_err().errno(), Some(5));
        assert_eq!(fs::sync_dir(Path::new("/")).await.unwrap_err().errno(), Some(5));
        // Once each: all is well again.
        read(&file, 512, 512).await.unwrap();
        write(&file, 0, 512, 2).await.unwrap();
        file.sync_data().await.unwrap();
        file.allocate(8192).await.unwrap();
        fs::rename(path, Path::new("/other")).await.unwrap();
        fs::sync_dir(Path::new("/")).await.unwrap();
    });
}

#[test]
fn wrong_bytes_and_delays_come_on_demand() {
    let mut image = DiskImage::default();
    image.write(Path::new("/file"), &[1; 4096]);
    image.write(Path::new("/other"), &[2; 4096]);
    let world = World::new(4, WorldOptions { image, ..WorldOptions::default() });
    let wrong = |bytes: &[u8]| bytes.iter().map(|byte| (byte ^ 1).count_ones()).sum::<u32>();
    world.order_fault(fault(DiskOperation::Read, Effect::FlipBit));
    run(&world, move || async move {
        let file = open("/file").await.unwrap();
        assert_eq!(wrong(&read(&file, 0, 4096).await.unwrap()), 1, "one bit, in the buffer");
        assert_eq!(wrong(&read(&file, 0, 4096).await.unwrap()), 0, "the disk has it right");
    });
    world.order_fault(fault(DiskOperation::Write, Effect::FlipBit));
    run(&world, move || async move {
        let file = open("/file").await.unwrap();
        write(&file, 0, 4096, 1).await.unwrap();
        file.sync_data().await.unwrap();
    });
    assert_eq!(wrong(&world.crash_image(1).read(Path::new("/file")).unwrap()), 1, "one bit, on the disk");
    world.order_fault(Fault { times: 50, ..fault(DiskOperation::Read, Effect::Misdirect) });
    run(&world, || async {
        let file = open("/file").await.unwrap();
        let mut others = 0;
        for _ in 0..50 {
            others += u32::from(read(&file, 0, 512).await.unwrap()[0] == 2);
        }
        assert!((5..45).contains(&others), "{others} of 50 from the other file");
    });
    world.order_fault(fault(DiskOperation::Sync, Effect::Delay(Duration::from_secs(5))));
    run(&world, || async {
        let file = open("/file").await.unwrap();
        let begun = now();
        file.sync_data().await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(5));
    });
    assert!(world.flip_bit(Path::new("/other"), 100, 3));
    assert!(!world.flip_bit(Path::new("/other"), 4096, 3), "past its end");
    let other = world.disk_image().read(Path::new("/other")).unwrap();
    assert_eq!(other[100], 2 ^ 8);
}

#[test]
fn a_full_disk_is_no_space() {
    let world = World::new(5, WorldOptions { disk_bytes_max: 8192, ..WorldOptions::default() });
    run(&world, || async {
        let file = open("/file").await.unwrap();
        write(&file, 0, 8192, 1).await.unwrap();
        let error = write(&file, 8192, 512, 1).await.unwrap_err();
        assert_eq!(error.kind(), IoErrorKind::NoSpace);
        assert_eq!(file.bytes().await.unwrap(), 8192);
        file.punch_hole(0, 512).await.unwrap();
        write(&file, 8192, 512, 1).await.unwrap();
        assert!(read(&file, 0, 512).await.unwrap().iter().all(|byte| *byte == 0));
    });
}

/// Writes whose futures were dropped, and those still in flight when `main` ends, are finished.
#[test]
fn operations_begun_are_finished() {
    let world = World::new(6, WorldOptions::default());
    run(&world, || async {
        let file = Rc::new(open("/file").await.unwrap());
        for sector in 0..20 {
            let buffer = super::filled(512, 7).await;
            let mut writing = Box::pin(file.write_at(sector * 512, buffer));
            std::future::poll_fn(|context| {
                assert!(writing.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        let reader = Rc::clone(&file);
        drop(spawn_local(async move {
            let buffer = acquire_buffer(512).await.unwrap();
            drop(reader.read_at(0, buffer).await);
        }));
        yield_now().await;
    });
    assert_eq!(world.disk_image().read(Path::new("/file")).unwrap(), vec![7; 20 * 512]);
}

#[test]
fn the_power_fails_at_the_operation_asked_for() {
    let world = World::new(7, WorldOptions::default());
    world.halt_at_operation(6);
    let main = world.spawn_executor(named("main"), || async {
        let file = open("/file").await.unwrap();
        fs::sync_dir(Path::new("/")).await.unwrap();
        write(&file, 0, 512, 1).await.unwrap();
        file.sync_data().await.unwrap();
        write(&file, 0, 512, 2).await.unwrap();
        file.sync_data().await.unwrap();
        unreachable!("the power failed");
    });
    assert_eq!(world.run_until_idle(), RunEnd::Halted);
    assert_eq!((world.disk_operations(), main.has_ended()), (6, false));
    let bytes = |image: &DiskImage| image.read(Path::new("/file")).unwrap()[0];
    let mut found: Vec<u8> = (0..64).map(|seed| bytes(&world.crash_image(seed))).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [1, 2], "the second write is there or not: its sync was not done");
    let image = world.crash();
    assert!(main.join().is_err());
    let next = World::new(8, WorldOptions { image: image.clone(), ..WorldOptions::default() });
    run(&next, move || async move {
        let file = open("/file").await.unwrap();
        assert_eq!(read(&file, 0, 512).await.unwrap()[0], bytes(&image));
    });
}
