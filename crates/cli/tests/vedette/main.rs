//! The real program against stand-ins for what it talks to.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod coordinator;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod rules;
