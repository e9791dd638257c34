//! Protocol state machines.
