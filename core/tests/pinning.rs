//! Which CPUs the shards' threads are tied to.

use crate::common::{memory, small};
use aquifer::{CpuPinning, Engine, ErrorKind, Options};
use aquifer_io::cores_available;

/// The CPUs that the thread of each shard may use.
async fn cores_of(engine: &Engine) -> Vec<Vec<usize>> {
    let mut cores = Vec::new();
    for shard in 0..engine.shards() {
        cores.push(engine.client().run_on_shard(shard, |_| async { cores_available() }).await.unwrap());
    }
    cores
}

async fn open(shards: usize, cpu_pinning: CpuPinning) -> Engine {
    Engine::open(memory(), Options { cpu_pinning, ..small(shards) }).await.unwrap()
}

#[test]
fn shards_are_tied_to_what_options_name_or_to_nothing() {
    let all = cores_available();
    let last = *all.last().unwrap();
    aquifer::block_on(async {
        let free = open(2, CpuPinning::None).await;
        assert_eq!(cores_of(&free).await, [all.clone(), all.clone()]);
        let named = open(3, CpuPinning::Cores(vec![last, all[0]][..all.len().min(2)].to_vec())).await;
        let [first, second, third]: [Vec<usize>; 3] = cores_of(&named).await.try_into().unwrap();
        assert_eq!((first, second, third), (vec![last], vec![all[0]], vec![last]));
        let foreign = Options { cpu_pinning: CpuPinning::Cores(vec![4_000]), ..small(1) };
        let error = Engine::open(memory(), foreign).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Invalid && error.to_string().contains("names CPU 4000"),
            "{error}"
        );
    });
}

/// The first shard of every engine was tied to the first CPU: two engines of a process shared it, while the others idled.
#[test]
fn engines_of_one_process_share_its_cores_evenly() {
    // In a process without other engines.
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pinning::alone", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[test]
#[ignore = "the process that the test above starts"]
fn alone() {
    let all = cores_available();
    aquifer::block_on(async {
        let mut engines = Vec::new();
        let mut cores = Vec::new();
        for _ in 0..all.len() {
            let engine = open(1, CpuPinning::default()).await;
            cores.extend(cores_of(&engine).await.concat());
            engines.push(engine);
        }
        assert_eq!(cores, all, "each engine has a core of its own");
        // One that closes gives its core back.
        let first = engines.remove(0);
        first.close().await.unwrap();
        let next = open(1, CpuPinning::default()).await;
        assert_eq!(cores_of(&next).await, [[all[0]]]);
    });
}
