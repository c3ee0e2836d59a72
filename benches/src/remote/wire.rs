//! What the shaped server's latencies are on the wire: from the last byte of a request to the last of its 4 KiB, over bare sockets,
//! with nothing of our client in between.

use std::io::{Read, Write};
use std::net::TcpStream;

use aquifer_io::{Instant, now, random_u64};
use aquifer_remote::shape::LatencyProfile;

use super::sample::Sample;
use super::target::{BLOCK_BYTES, BLOCK_LENGTH, OBJECT_BYTES};
use crate::failure::Failure;
use crate::histogram::Latencies;
use crate::interrupt;
use crate::measure::spread::Times;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Connections that give a profile enough samples in a second or two.
pub(super) fn connections(profile: LatencyProfile) -> usize {
    match profile {
        LatencyProfile::Hdfs => 4,
        LatencyProfile::S3 => 32,
        _ => 1,
    }
}

/// Measures a server at an address by a presigned URL.
pub(super) fn measure(address: &str, url: &str, connections: usize, times: Times) -> Result<Sample, Failure> {
    let warm_at = now() + times.warm_up;
    let end_at = warm_at + times.measured;
    let path = url.strip_prefix("http://").and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
    let path = path.ok_or_else(|| Failure::Other("a presigned URL without a path".to_owned()))?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n");
    let failed = |error: std::io::Error| Failure::Other(format!("a bare connection to {address}: {error}"));
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| talk(address, &head, warm_at, end_at))).collect();
        threads.into_iter().try_fold(Latencies::new(), |mut all, thread| {
            let one = thread.join().map_err(|_| std::io::Error::other("its thread panicked"))?;
            all.add(&one?);
            Ok(all)
        })
    });
    interrupt::check()?;
    let latency = all.map_err(failed)?.summary();
    let rate = Some(latency.count as f64 / times.measured.as_secs_f64());
    Ok(Sample { rate, ..Sample::of_latencies(latency) })
}

/// What the server draws.
pub(super) fn drawn(profile: LatencyProfile) -> Sample {
    let at = |share| Some(profile.quantile(share).as_secs_f64() * 1e6);
    Sample { p50_us: at(0.5), p99_us: at(0.99), p99_9_us: at(0.999), ..Sample::default() }
}

/// One connection, one request after the other.
fn talk(address: &str, head: &str, warm_at: Instant, end_at: Instant) -> std::io::Result<Latencies> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut latencies = Latencies::new();
    let mut buffer = vec![0; HEAD_BYTES_MAX + BLOCK_LENGTH];
    while now() < end_at && interrupt::check().is_ok() {
        let start = random_u64() % (OBJECT_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
        let request = format!("{head}range: bytes={start}-{}\r\n\r\n", start + BLOCK_BYTES - 1);
        stream.write_all(request.as_bytes())?;
        let began = now();
        read_answer(&mut stream, &mut buffer)?;
        if began >= warm_at {
            latencies.record(began.elapsed());
        }
    }
    Ok(latencies)
}

/// Reads a head and the block after it.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let (mut filled, mut whole) = (0, None);
    while whole.is_none_or(|whole| filled < whole) {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if whole.is_none() {
            let found = buffer.get(..filled).unwrap_or_default();
            if found.len() >= 12 && !found.starts_with(b"HTTP/1.1 206") {
                return Err(std::io::Error::other("the answer is no 206"));
            }
            let end = found.windows(4).position(|window| window == b"\r\n\r\n");
            whole = end.map(|end| end + 4 + BLOCK_LENGTH);
        }
    }
    Ok(())
}
