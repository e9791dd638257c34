//! JSON lines on a Unix socket.
