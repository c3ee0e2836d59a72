//! The flags of each command, and the values that they take.

mod check;
mod device;
mod dfs;
mod diff;
mod io_arg;
mod micro;
mod output_args;
mod policies;
mod remote;
mod restart_worker;
pub(crate) mod phase_name;
pub(crate) mod cache_row;
mod run;
mod show;
mod events;
pub(crate) mod compare_row;
mod compare;

pub(crate) use check::CheckArgs;
pub(crate) use compare::{Against, Codec, CompareArgs};
pub(crate) use device::DeviceArgs;
pub(crate) use dfs::DfsArgs;
pub(crate) use diff::DiffArgs;
pub(crate) use events::EventsArgs;
pub(crate) use micro::MicroArgs;
pub(crate) use output_args::OutputArgs;
pub(crate) use policies::PoliciesArgs;
pub(crate) use remote::RemoteArgs;
pub(crate) use restart_worker::{RestartWorkerArgs, RestartWorkerWork};
pub(crate) use run::{From, Rate, RunArgs};
pub(crate) use show::ShowArgs;
