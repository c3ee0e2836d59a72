//! Where HTTP runs: on a runtime of its own, or in place on the shard's thread. The same client (`object_store` over `reqwest`), the
//! same embedded server, the same executor; requests per second of 4 KiB ranged GETs, and processor time of the client's
//! side for each.
//!
//! `cargo run --release -p aquifer-remote --features server --example in_place`

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use aquifer_io::{BackendChoice, ExecutorOptions, now, select_backend, spawn_executor};
use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{ObjectName, Remote, from_object_store};
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const OBJECT_BYTES: u64 = 64 << 20;
const RANGE_BYTES: u64 = 4_096;
const IN_FLIGHT: [usize; 3] = [1, 32, 128];
const RUN_TIME: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
/// Of the kernel's clock, in which it counts processor time.
const TICK_US: u64 = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions { secret_key: "secret".to_owned(), ..ServerOptions::new(dir.path()) };
    let server = Server::start(options)?;
    let name = ObjectName::new("object")?;
    let object = vec![7; usize::try_from(OBJECT_BYTES)?];
    aquifer_io::block_on(server.remote("")?.put(&name, object.into()))?;
    let store: Arc<AmazonS3> = Arc::new(
        AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_bucket_name("aquifer")
            .with_region("us-east-1")
            .with_access_key_id("aquifer")
            .with_secret_access_key("secret")
            .with_allow_http(true)
            .build()?,
    );
    let selection = select_backend(BackendChoice::Auto)?;
    println!("backend {}", selection.backend);
    let executor = ExecutorOptions { backend: selection.backend, ..ExecutorOptions::default() };
    let thread = spawn_executor(executor, move || async move {
        if let Err(failure) = rounds(store, &name).await {
            println!("failed: {failure}");
        }
    })?;
    thread.join()?;
    server.stop();
    Ok(())
}

async fn rounds(store: Arc<AmazonS3>, name: &ObjectName) -> Result<(), Failure> {
    let other: Arc<dyn ObjectStore> = Arc::<AmazonS3>::clone(&store);
    let own_runtime = from_object_store(other, "", "own runtime")?;
    for round in 1..=ROUNDS {
        for in_flight in IN_FLIGHT {
            let remote = Arc::clone(&own_runtime);
            let own = measure(in_flight, || own(&remote, name)).await?;
            let place = measure(in_flight, || in_place(Arc::clone(&store))).await?;
            println!("round {round}, {in_flight:>3} in flight: own runtime {own}; in place {place}");
        }
    }
    Ok(())
}

fn start() -> u64 {
    aquifer_io::random_u64() % (OBJECT_BYTES / RANGE_BYTES) * RANGE_BYTES
}

fn own(remote: &Arc<dyn Remote>, name: &ObjectName) -> impl Future<Output = Result<usize, Failure>> + use<> {
    let at = start();
    let read = remote.get_range(name, at..at + RANGE_BYTES);
    async move { Ok(read.await?.len()) }
}

async fn in_place(store: Arc<AmazonS3>) -> Result<usize, Failure> {
    let at = start();
    Ok(store.get_range(&Path::from("object"), at..at + RANGE_BYTES).await?.len())
}

/// What one run gave.
struct Run {
    requests_per_s: f64,
    /// Processor time of all of the client's threads for each request.
    cpu_us: f64,
    /// The share of the thread that asks: the shard's.
    shard_cpu_us: f64,
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>5.0}/s, CPU {:>5.1} us a GET ({:>5.1} of the shard's thread)",
            self.requests_per_s, self.cpu_us, self.shard_cpu_us
        )
    }
}

async fn measure<F: Future<Output = Result<usize, Failure>>>(
    in_flight: usize,
    request: impl Fn() -> F,
) -> Result<Run, Failure> {
    let (begun, all_us, shard_us) = (now(), client_cpu_us()?, shard_cpu_us()?);
    let mut running: FuturesUnordered<F> = (0..in_flight).map(|_| request()).collect();
    let mut count = 0_u32;
    while let Some(read) = running.next().await {
        if read? != usize::try_from(RANGE_BYTES)? {
            return Err("a short read".into());
        }
        count += 1;
        if begun.elapsed() < RUN_TIME {
            running.push(request());
        }
    }
    let each = |now: u64, before: u64| u32::try_from(now - before).map(|us| f64::from(us) / f64::from(count));
    Ok(Run {
        requests_per_s: f64::from(count) / begun.elapsed().as_secs_f64(),
        cpu_us: each(client_cpu_us()?, all_us)?,
        shard_cpu_us: each(shard_cpu_us()?, shard_us)?,
    })
}

/// Processor time of all threads but the server's.
fn client_cpu_us() -> Result<u64, Failure> {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        if !stat.contains("(aquifer-dfs") {
            ticks += ticks_of(&stat)?;
        }
    }
    Ok(ticks * TICK_US)
}

/// Processor time of this thread.
fn shard_cpu_us() -> Result<u64, Failure> {
    Ok(ticks_of(&fs::read_to_string("/proc/thread-self/stat")?)? * TICK_US)
}

/// The 14th and 15th of the line, after a name that may hold spaces.
fn ticks_of(stat: &str) -> Result<u64, Failure> {
    let numbers = stat.rsplit_once(") ").map_or("", |(_, numbers)| numbers);
    let mut ticks = 0;
    for number in numbers.split(' ').skip(11).take(2) {
        ticks += number.parse::<u64>()?;
    }
    Ok(ticks)
}
