//! All tests of the command line as a child process, as one program.

#![cfg(test)]

mod cache_suite;
mod chromium;
mod common;
mod compare;
mod compare_engines;
mod device;
mod diff;
mod events_errors;
mod events_run;
mod html;
mod kill_resume;
mod remote;
mod report;
mod run;
mod run_errors;
mod store_errors;
