//! Requests per second of 4 KiB ranged GETs from the embedded server: once through the S3 client, all of it, and once with bare
//! connections that send one signed request again and again, which is what the server alone can do.
//!
//! `cargo run --release -p aquifer-remote --features server --example ranged_gets`

#[path = "../tests/raw/sign.rs"]
mod sign;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use aquifer_remote::server::{Server, ServerOptions};
use aquifer_remote::{ObjectName, Remote};
use futures_util::stream::{FuturesUnordered, StreamExt};

const OBJECT_BYTES: u64 = 64 << 20;
const RANGE_BYTES: u64 = 4_096;
const CONNECTIONS: usize = 32;
const RUN_TIME: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions { secret_key: "secret".to_owned(), ..ServerOptions::new(dir.path()) };
    let server = Server::start(options)?;
    let remote = server.remote("")?;
    let name = ObjectName::new("object")?;
    aquifer_io::block_on(remote.put(&name, vec![7; usize::try_from(OBJECT_BYTES)?].into()))?;
    for round in 1..=3 {
        let client = aquifer_io::block_on(through_client(&remote, &name))?;
        let bare = bare_connections(&server)?;
        println!(
            "round {round}: {client:.0} requests/s through the S3 client, {bare:.0} with bare connections"
        );
    }
    server.stop();
    Ok(())
}

async fn through_client(
    remote: &Arc<dyn Remote>,
    name: &ObjectName,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = aquifer_io::now();
    let get = || {
        let at = aquifer_io::random_u64() % (OBJECT_BYTES / RANGE_BYTES) * RANGE_BYTES;
        remote.get_range(name, at..at + RANGE_BYTES)
    };
    let mut running: FuturesUnordered<_> = (0..CONNECTIONS).map(|_| get()).collect();
    let mut count = 0_u32;
    while let Some(read) = running.next().await {
        read?;
        count += 1;
        if start.elapsed() < RUN_TIME {
            running.push(get());
        }
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn bare_connections(server: &Server) -> Result<f64, Box<dyn std::error::Error>> {
    let client = sign::RawClient {
        address: server.address(),
        access_key: "aquifer".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let start = aquifer_io::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let range = format!("bytes={}-{}", number * 8_192, number * 8_192 + 4_095);
            let headers = [("range", range.as_str())];
            let request =
                sign::Request { path: "/aquifer/object", headers: &headers, ..sign::Request::default() };
            let head = client.signed_head(&request, 0).replace("connection: close\r\n", "");
            let address = client.address;
            std::thread::spawn(move || -> std::io::Result<u32> {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let mut buffer = vec![0; 16 << 10];
                let mut count = 0;
                while start.elapsed() < RUN_TIME {
                    stream.write_all(head.as_bytes())?;
                    read_answer(&mut stream, &mut buffer)?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let mut count = 0;
    for thread in threads {
        count += thread.join().map_err(|_| "a connection's thread panicked")??;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Reads a head and the 4 KiB after it.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    let mut wanted = None;
    while wanted.is_none_or(|wanted| filled < wanted) {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if wanted.is_none() {
            let head = buffer.get(..filled).unwrap_or_default();
            wanted = head.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4 + 4_096);
        }
    }
    Ok(())
}
