//! The `dfs` command: the embedded DFS on its own, for other processes.

use std::io::Write;
use std::net::SocketAddr;

use aquifer_remote::server::{Server, ServerOptions, ServerShape};
use aquifer_remote::shape::FaultPlan;

use crate::cli::DfsArgs;
use crate::failure::Failure;
use crate::interrupt;

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Serves until Ctrl-C or SIGTERM.
pub(crate) fn dfs(args: &DfsArgs) -> Result<(), Failure> {
    interrupt::watch()?;
    let mut options = ServerOptions::new(&args.dir);
    options.listen = args.listen;
    options.bucket.clone_from(&args.bucket);
    options.read_only = args.read_only;
    options.shape = shape(args)?;
    let own = credentials()?;
    if let Some((access_key, secret_key)) = &own {
        options.access_key.clone_from(access_key);
        options.secret_key.clone_from(secret_key);
    }
    // Made up for this server and good for nothing else, so it may be shown; one from outside is not.
    let made_up = own.is_none().then(|| (options.access_key.clone(), options.secret_key.clone()));
    let server = Server::start(options).map_err(|error| Failure::Other(error.to_string()))?;
    if let Some(line) = beyond_this_machine(server.address()) {
        eprintln!("{line}");
    }
    let endpoint = server.endpoint();
    let keys = made_up.map_or_else(
        || format!("# {ACCESS_KEY} and {SECRET_KEY} are those of this process's environment"),
        |(access_key, secret_key)| format!("export {ACCESS_KEY}={access_key} {SECRET_KEY}={secret_key}"),
    );
    let text = format!(
        "# embedded S3 server at {endpoint}, folder {}; Ctrl-C ends it\n\
         export AWS_ENDPOINT={endpoint} AWS_ALLOW_HTTP=true AWS_REGION=us-east-1\n\
         {keys}\n\
         # then: aquifer-bench events --store s3://{}/PREFIX\n",
        args.dir.display(),
        server.bucket()
    );
    let mut stdout = std::io::stdout();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.map_err(|error| Failure::Other(format!("cannot print the address: {error}")))?;
    if args.end_with_stdin {
        end_with_stdin()?;
    }
    aquifer_io::block_on(interrupt::interrupted());
    server.stop();
    Ok(())
}

/// Whom an address lets in that others than this machine can reach; `None` for one that they cannot.
fn beyond_this_machine(address: SocketAddr) -> Option<String> {
    (!address.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "aquifer-bench dfs: listening on {address}, beyond this machine: who reaches the port and has the key reads, replaces and \
             deletes every object; it is cleartext HTTP, so who listens on the way reads everything and can change it"
        )
    })
}

/// Waits for the end of the standard input beside everything else, as for a signal.
fn end_with_stdin() -> Result<(), Failure> {
    let wait = || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        interrupt::interrupt();
    };
    let thread = std::thread::Builder::new().name("aquifer-stdin".into()).stack_size(128 << 10);
    let started = thread.spawn(wait).map(drop);
    started.map_err(|error| Failure::Other(format!("cannot watch the standard input: {error}")))
}

fn shape(args: &DfsArgs) -> Result<ServerShape, Failure> {
    let rates = args.fault_rates().map_err(Failure::Usage)?;
    Ok(ServerShape {
        latency: args.profile,
        faults: FaultPlan::new(rates),
        bandwidth_bytes_per_s: args.bandwidth_bytes_per_s,
        connection_bandwidth_bytes_per_s: args.connection_bandwidth_bytes_per_s,
        seed: args.seed,
    })
}

/// The credentials of the environment: both or none.
fn credentials() -> Result<Option<(String, String)>, Failure> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (read(ACCESS_KEY), read(SECRET_KEY)) {
        (Some(access_key), Some(secret_key)) => Ok(Some((access_key, secret_key))),
        (None, None) => Ok(None),
        _ => Err(Failure::Usage(format!("set both {ACCESS_KEY} and {SECRET_KEY}, or neither"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_told() {
        for address in
            ["0.0.0.0:9000", "192.168.1.7:1", "[::]:9000", "[2001:db8::1]:9000", "[::ffff:10.0.0.1]:9"]
        {
            let line = beyond_this_machine(address.parse().unwrap()).unwrap();
            assert!(
                line.contains(address) && line.contains("the key") && line.contains("cleartext"),
                "{line}"
            );
        }
        for address in ["127.0.0.1:9000", "127.9.9.9:1", "[::1]:9000", "[::ffff:127.0.0.1]:9"] {
            assert_eq!(beyond_this_machine(address.parse().unwrap()), None);
        }
    }
}
