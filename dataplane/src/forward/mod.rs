//! Header rewriting by forwarding method.
