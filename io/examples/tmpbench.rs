//! temp
#![allow(clippy::all, clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::cast_possible_truncation)]
use aquifer_io::*;
use std::rc::Rc;
use std::cell::RefCell;
use std::time::Duration;
fn cpu() -> u64 { let t = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap(); t.split_whitespace().next().unwrap().parse().unwrap() }
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let choice: BackendChoice = a[1].parse().unwrap();
    let mode = a[2].clone();
    let depth: usize = a[3].parse().unwrap();
    let secs: f64 = a[4].parse().unwrap();
    let path = std::path::PathBuf::from(&a[5]);
    let sel = select_backend(choice).unwrap();
    if let Some(n) = &sel.note { println!("{n}"); }
    let backend = sel.backend;
    if mode == "probe" { println!("{backend}"); return; }
    let o = ExecutorOptions { name: "bench".into(), backend, core: cores_available().last().copied(), file_threads_max: depth.min(64), ..Default::default() };
    spawn_executor(o, move || async move {
        if mode == "idle" { let c = cpu(); sleep(Duration::from_secs_f64(secs)).await; println!("idle {backend}: {} us cpu in {secs} s", (cpu()-c)/1000); return; }
        let o = OpenOptions { read: true, write: mode == "write", create: mode=="write", direct: true, ..Default::default() };
        let f = Rc::new(File::open(&path, o).await.unwrap());
        if mode == "write" { for i in 0..64u64 { let mut b = acquire_buffer(4096).await.unwrap(); b.fill(1); f.write_at(i*4096, b).await.0.unwrap(); } f.sync_data().await.unwrap();
            for i in 0..64u64 { let b = acquire_buffer(4096).await.unwrap(); f.read_at(i*4096, b).await.0.unwrap(); } println!("direct {}", f.is_direct()); return; }
        let blocks = f.bytes().await.unwrap() / 4096;
        let lat = Rc::new(RefCell::new(Vec::<u32>::new()));
        let start = now(); let c = cpu();
        let mut t = vec![];
        for _ in 0..depth { let f = f.clone(); let lat = lat.clone(); t.push(spawn_local(async move {
            let mut b = acquire_buffer(4096).await.unwrap();
            while start.elapsed().as_secs_f64() < secs {
                let s = now(); let (r, bb) = f.read_at(random_u64() % blocks * 4096, b).await; r.unwrap(); b = bb;
                lat.borrow_mut().push((s.elapsed().as_nanos()/10) as u32);
            } })); }
        for t in t { t.await.unwrap(); }
        let el = start.elapsed().as_secs_f64(); let c = cpu() - c;
        let mut l = lat.borrow_mut(); l.sort();
        let q = |p: f64| l[((l.len() as f64 * p) as usize).min(l.len()-1)] as f64 / 100.0;
        println!("{backend} depth {depth}: {:.0} IOPS p50 {:.1} us p99 {:.1} us, executor thread cpu {:.2} us/op", l.len() as f64/el, q(0.5), q(0.99), c as f64/1000.0/l.len() as f64);
    }).unwrap().join().unwrap();
}
