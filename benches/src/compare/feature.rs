//! Engines that this build has or lacks, and how to get one.

use super::spec::Engine;
use crate::failure::Failure;

/// Whether this build can run it.
pub(crate) fn has(engine: Engine) -> bool {
    match engine {
        Engine::Aquifer | Engine::Nothing => true,
        Engine::Rocksdb => cfg!(feature = "rocksdb"),
        Engine::Slatedb => cfg!(feature = "slatedb"),
        Engine::Fjall => cfg!(feature = "fjall"),
    }
}

/// What to do without it.
pub(crate) fn missing(engine: Engine) -> Failure {
    let name = engine.name();
    let (title, time) = match engine {
        Engine::Rocksdb => (
            "RocksDB",
            "; the first build takes about 20 minutes on 2 cores, or about 5 by the way that docs/benchmarks-compare.md shows. \
             It needs clang, libclang-dev and liburing-dev",
        ),
        Engine::Slatedb => ("SlateDB", ""),
        Engine::Fjall => ("fjall", ""),
        Engine::Aquifer | Engine::Nothing => (name, ""),
    };
    Failure::Usage(format!(
        "built without {title}: RUSTFLAGS=-Ctarget-cpu=native cargo run --release --features {name} -- compare --against {name} ..{time}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_says_how_to_build_it() {
        let text = missing(Engine::Rocksdb).to_string();
        assert!(text.starts_with("built without RocksDB: ") && text.contains("--features rocksdb"), "{text}");
        assert!(text.contains("20 minutes") && text.contains("docs/benchmarks-compare.md"), "{text}");
        assert!(has(Engine::Aquifer) && has(Engine::Nothing));
    }
}
