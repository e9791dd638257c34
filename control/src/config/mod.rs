//! One TOML file.
