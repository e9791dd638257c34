//! What reads payload (`ip_vs_app.c`, `ip_vs_ftp.c`, `ip_vs_pe_sip.c`).
//!
//! Of an FTP control connection to a masq destination: [`ftp`] finds where a data conn is announced,
//! [`edit`] puts the virtual address in place of the real server's, [`seq`] keeps both ends' sequence
//! numbers true after an edit that changed a length. What was announced goes to [`crate::expect`].
//! Of a SIP message: [`sip`] finds the Call-ID, which persistence goes by.
//!
//! All are pure functions of bytes; the director decides when to ask them. A packet of a conn with a
//! helper is, in this order: seen to have a true checksum ([`edit::checksum_ok`]), adjusted by
//! [`seq::Shift`]s, read, edited, and forwarded like any other.

pub mod edit;
pub mod ftp;
pub mod proxy;
pub mod seq;
pub mod sip;

#[cfg(test)]
mod golden_tests;
