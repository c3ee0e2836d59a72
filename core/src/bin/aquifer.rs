//! `aquifer`, the operators' binary: looks into a store, verifies it, compacts it. See `aquifer --help` and `docs/operations.md`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    aquifer::cli::main()
}
