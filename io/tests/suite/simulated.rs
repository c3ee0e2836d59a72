//! The suite on a simulated machine: the folders of a test are on its disk when `main` begins, and what is on the disk when
//! it ends is in the folders then, so that a test may prepare and inspect files as on a real machine.

use std::cell::RefCell;
use std::future::Future;
use std::path::{Path, PathBuf};

use aquifer_io::ExecutorOptions;
use aquifer_io::simulated::{DiskImage, World, WorldOptions};

thread_local! {
    /// The folders of the test that this thread runs.
    static FOLDERS: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// Gives simulated machines of this thread a folder; one that is gone is left out.
pub(crate) fn share(folder: &Path) {
    FOLDERS.with_borrow_mut(|folders| folders.push(folder.to_owned()));
}

pub(crate) fn run<F, Fut>(options: ExecutorOptions, main: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let folders: Vec<PathBuf> =
        FOLDERS.with_borrow(|folders| folders.iter().filter(|folder| folder.exists()).cloned().collect());
    let mut image = DiskImage::default();
    for folder in &folders {
        image.create_dir(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            image.write(&path, &std::fs::read(&path).unwrap());
        }
    }
    let world = World::new(options.seed, WorldOptions { image, ..WorldOptions::default() });
    world.spawn_executor(options, main).join().unwrap();
    let image = world.disk_image();
    for path in image.files().filter(|path| folders.iter().any(|folder| path.parent() == Some(folder))) {
        std::fs::write(path, image.read(path).unwrap()).unwrap();
    }
}
