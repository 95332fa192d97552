//! What the programs promise, held by running them.

mod answers;
mod exit_codes;
mod gpu;
mod hostile;
mod lifecycle;
mod services;
mod survival;
