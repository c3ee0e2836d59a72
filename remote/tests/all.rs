//! All tests of the stores, their wrappers and the embedded server, as one program.

#![cfg(test)]

mod bad_server;
mod chaos;
mod clouds;
mod conformance;
mod hedge;
mod hostile;
mod http;
mod patience;
mod raw;
mod real_servers;
mod s3_read;
mod server_hostile;
mod secrets;
mod server_life;
mod server_protocol;
mod server_shape;
mod simulated;
mod stores;
mod webdav;
mod webhdfs;
mod world;
mod wrappers;
