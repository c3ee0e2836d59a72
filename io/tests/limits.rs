//! `auto` starts wherever the process may run at all, and says in one line why it does without io_uring. Each limit is really
//! set, in a process of its own.
#![expect(
    unsafe_code,
    reason = "limits and filters of a process have no safe interface among the dependencies"
)]

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::process::Command;

    use aquifer_io::{
        Backend, BackendChoice, ExecutorOptions, File, OpenOptions, acquire_buffer, select_backend,
        spawn_executor,
    };

    /// Names the limit that the child sets for itself.
    const LIMIT: &str = "AQUIFER_TEST_LIMIT";

    /// The one limit that is the whole machine's: set only when asked for.
    const SYSCTL: &str = "AQUIFER_TEST_SYSCTL";

    const IO_URING_DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

    fn loudly(line: &str) {
        // Not `println!`, which the test harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {line}");
    }

    /// What each choice came to under a limit, by name.
    fn under(limit: &str) -> BTreeMap<String, String> {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(LIMIT, limit)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success(), "{text}\n{}", String::from_utf8_lossy(&child.stderr));
        let lines = text.lines().filter_map(|line| line.strip_prefix('@')?.split_once(": "));
        let found: BTreeMap<_, _> = lines.map(|(name, came)| (name.to_owned(), came.to_owned())).collect();
        assert_eq!(found.len(), 5, "{text}");
        assert_eq!(found["threads"], "threads");
        found
    }

    #[test]
    #[ignore = "the process that the other tests of this file start"]
    fn child() {
        let Ok(limit) = std::env::var(LIMIT) else { return };
        match limit.as_str() {
            "memlock" => set_locked_memory(64 << 10),
            "EPERM" => refuse_io_uring(libc::EPERM),
            "ENOSYS" => refuse_io_uring(libc::ENOSYS),
            _ => {}
        }
        println!();
        for name in ["auto", "uring", "tokio-uring", "glommio", "threads"] {
            match select_backend(name.parse::<BackendChoice>().unwrap()) {
                Ok(selection) => {
                    read_a_file(selection.backend);
                    let note = selection.note.map(|note| format!(" because {note}")).unwrap_or_default();
                    println!("@{name}: {}{note}", selection.backend);
                }
                Err(error) => println!("@{name}: {error}"),
            }
        }
    }

    fn read_a_file(backend: Backend) {
        let options = ExecutorOptions { backend, ..ExecutorOptions::default() };
        let reading = spawn_executor(options, || async {
            let options = OpenOptions { read: true, direct: true, ..OpenOptions::default() };
            let file = File::open(std::path::Path::new("/proc/self/exe"), options).await.unwrap();
            let (outcome, buffer) = file.read_at(0, acquire_buffer(4096).await.unwrap()).await;
            outcome.unwrap();
            assert!(buffer.starts_with(b"\x7fELF"));
            file.close().await.unwrap();
        });
        reading.unwrap().join().unwrap();
    }

    fn set_locked_memory(bytes: u64) {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: the kernel reads the limit during the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
    }

    /// A seccomp filter of this thread and all that it starts: `io_uring_setup` fails with this errno.
    fn refuse_io_uring(errno: i32) {
        let io_uring_setup = u32::try_from(libc::SYS_io_uring_setup).unwrap();
        let errno = libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap();
        let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt,
            jf,
            k,
        };
        let filter = [
            // The number of the system call is the first word.
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, io_uring_setup, 0, 1),
            step(libc::BPF_RET | libc::BPF_K, errno, 0, 0),
            step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap(),
            filter: filter.as_ptr().cast_mut(),
        };
        // SAFETY: takes numbers only.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
        // SAFETY: the kernel copies program and filter during the call; both are alive.
        let set =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
        assert_eq!(set, 0);
    }

    /// io_uring works here when nothing is in its way.
    fn io_uring_works() -> bool {
        let works = select_backend(BackendChoice::Uring).is_ok();
        if !works {
            loudly("limits on io_uring, which does not work here anyhow");
        }
        works
    }

    #[test]
    fn sixty_four_kib_of_locked_memory() {
        if !io_uring_works() {
            return;
        }
        let found = under("memlock");
        // Kernels before 5.12 count the ring as locked memory, and it still fits.
        assert_eq!(found["auto"], "uring");
        assert_eq!(found["uring"], "uring");
        if Backend::TokioUring.missing_feature().is_none() {
            assert_eq!(found["tokio-uring"], "tokio-uring");
        }
        let glommio = &found["glommio"];
        if Backend::Glommio.missing_feature().is_some() {
            assert!(glommio.contains("--features glommio"), "{glommio}");
            return;
        }
        assert!(glommio.contains("at least 524288 bytes for glommio (raise `ulimit -l`)"), "{glommio}");
        assert!(glommio.contains("found 65536 bytes") && glommio.contains("choose `auto`"), "{glommio}");
    }

    #[test]
    fn a_seccomp_filter_that_answers_eperm_or_enosys() {
        for errno in ["EPERM", "ENOSYS"] {
            let found = under(errno);
            let auto = &found["auto"];
            assert!(auto.starts_with("threads because io_uring is not used: "), "{auto}");
            assert!(auto.contains(errno), "{auto}");
            for backend in [Backend::Uring, Backend::TokioUring, Backend::Glommio] {
                if backend.missing_feature().is_some() {
                    continue;
                }
                let named = &*backend.to_string();
                let error = &found[named];
                assert!(
                    error.contains(errno) && error.contains(&format!("{named}, as asked for")),
                    "{error}"
                );
            }
        }
    }

    /// Puts back what the machine's setting was.
    struct Restore(String);

    impl Drop for Restore {
        fn drop(&mut self) {
            std::fs::write(IO_URING_DISABLED, &self.0).unwrap();
        }
    }

    /// For every process of the machine, for a moment; so it is done only when asked for.
    #[test]
    fn io_uring_disabled_by_the_administrator() {
        if std::env::var_os(SYSCTL).is_none() {
            return loudly(&format!(
                "{IO_URING_DISABLED}, the whole machine's setting: set {SYSCTL}=1 to try it"
            ));
        }
        if !io_uring_works() {
            return;
        }
        let before = std::fs::read_to_string(IO_URING_DISABLED).unwrap();
        if let Err(error) = std::fs::write(IO_URING_DISABLED, "2") {
            return loudly(&format!("{IO_URING_DISABLED} cannot be written: {error}"));
        }
        let restore = Restore(before);
        let found = under("none");
        drop(restore);
        for (choice, came) in found {
            let expected = "EPERM: the administrator forbids it to all (kernel.io_uring_disabled=2)";
            let is_missing = came.contains("--features");
            assert!(choice == "threads" || is_missing || came.contains(expected), "{choice}: {came}");
        }
    }
}
