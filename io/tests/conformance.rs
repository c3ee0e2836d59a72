//! One suite of promises that every backend keeps: files, buffers, executors, wakes, shutdown.
//!
//! Each promise is a function of a backend, and becomes one test for each backend. Where the kernel forbids io_uring its tests
//! say so and pass: the library then never uses it. tokio-uring and glommio are tested in builds with their features:
//! the first in those of the whole workspace, the second by `cargo test -p aquifer-io --features glommio`.

// Integration tests are tests anyhow; said again so that clippy knows.
#[cfg(test)]
mod suite;

use aquifer_io::{Backend, BackendChoice, select_backend};

/// One module of tests for each backend, from one list of promises.
macro_rules! on_every_backend {
    ($($file:ident::{$($promise:ident),* $(,)?}),* $(,)?) => {
        mod uring {
            $($(#[test] fn $promise() { super::on(super::Backend::Uring, super::suite::$file::$promise); })*)*
        }
        #[cfg(feature = "tokio-uring")]
        mod tokio_uring {
            $($(#[test] fn $promise() { super::on(super::Backend::TokioUring, super::suite::$file::$promise); })*)*
        }
        #[cfg(feature = "glommio")]
        mod glommio {
            $($(#[test] fn $promise() { super::on(super::Backend::Glommio, super::suite::$file::$promise); })*)*
        }
        mod threads {
            $($(#[test] fn $promise() { super::on(super::Backend::Threads, super::suite::$file::$promise); })*)*
        }
    };
}

on_every_backend! {
    files::{
        random_writes_and_reads_match_a_byte_array,
        the_end_of_the_file_is_an_error_that_says_where,
        misaligned_requests_are_refused_before_the_kernel,
        direct_where_the_file_system_permits_it,
        missing_files_and_folders_are_clear_errors,
        a_full_device_is_no_space,
        length_space_and_sync,
        folders_and_names,
        what_is_made_is_its_users_alone,
        vectored_reads_fill_every_extent,
        a_vectored_read_is_one_submission,
        vectored_reads_that_cannot_be_are_errors_that_say_where,
        a_punched_hole_reads_as_zeroes_and_gives_its_space_back,
        a_file_removed_underneath_still_serves,
    },
    operations::{
        dropped_reads_give_every_buffer_back_and_write_to_none_afterwards,
        operations_dropped_at_every_await_leak_nothing,
        thousands_in_flight,
        a_small_ring_makes_the_rest_wait,
        dropped_opens_leak_no_descriptor,
        operations_begun_are_finished_when_the_executor_ends,
        the_pool_is_a_hard_limit_and_serves_in_order,
        a_busy_thread_still_submits_and_reaps,
    },
    executors::{
        wakes_from_foreign_threads_are_never_lost,
        ping_pong_with_a_foreign_thread,
        an_idle_executor_sleeps,
        panics_reach_somebody,
        tasks_end_with_main_and_before_join_returns,
        sleep_timeout_and_yield,
        a_seed_gives_the_same_numbers_and_a_pin_holds,
    },
}

/// The promises that make sense on a simulated machine: all but those that look at the real file system from inside, at
/// real time, threads and descriptors, or at an order of tasks that the seed decides. Its own are in `simulated.rs`.
macro_rules! on_the_simulated_backend {
    ($($file:ident::{$($promise:ident),* $(,)?}),* $(,)?) => {
        mod simulated {
            $($(#[test] fn $promise() { super::on(super::Backend::Simulated, super::suite::$file::$promise); })*)*
        }
    };
}

on_the_simulated_backend! {
    files::{
        the_end_of_the_file_is_an_error_that_says_where,
        misaligned_requests_are_refused_before_the_kernel,
        missing_files_and_folders_are_clear_errors,
        vectored_reads_fill_every_extent,
        a_vectored_read_is_one_submission,
        vectored_reads_that_cannot_be_are_errors_that_say_where,
        a_file_removed_underneath_still_serves,
    },
    operations::{
        dropped_reads_give_every_buffer_back_and_write_to_none_afterwards,
        operations_dropped_at_every_await_leak_nothing,
        thousands_in_flight,
        a_small_ring_makes_the_rest_wait,
        operations_begun_are_finished_when_the_executor_ends,
        a_busy_thread_still_submits_and_reaps,
    },
    executors::{
        ping_pong_with_a_foreign_thread,
        panics_reach_somebody,
        tasks_end_with_main_and_before_join_returns,
        sleep_timeout_and_yield,
    },
}

fn on(backend: Backend, promise: fn(Backend)) {
    let choice = match backend {
        Backend::Uring => BackendChoice::Uring,
        Backend::TokioUring => BackendChoice::TokioUring,
        Backend::Glommio => BackendChoice::Glommio,
        Backend::Simulated | Backend::Threads => BackendChoice::Threads,
    };
    if let Err(error) = select_backend(choice) {
        println!("skipped: {error}");
        return;
    }
    promise(backend);
}
