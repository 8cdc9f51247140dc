//! Git repositories, through the real git in an environment that holds nothing of this machine or its user.

mod env;
mod private;
mod repository;
mod resolve;
mod session;
mod ssh;
mod trouble;

pub(super) use repository::{fetch, resolve};
pub use trouble::Trouble;
