//! A port over memory, for tests and the simulation.
