//! Why a change is refused: the kernel's reasons, in ipvsadm's words.

use std::fmt;

/// The kernel's reason to refuse a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// EEXIST of a service.
    ServiceExists,
    /// ESRCH where the service itself is the object.
    NoSuchService,
    /// ESRCH where one of its real servers is the object.
    ServiceNotDefined,
    /// EEXIST of a real server.
    ServerExists,
    /// ENOENT of a real server.
    NoSuchServer,
    /// ENOENT of a scheduler.
    NoSuchScheduler,
    /// ERANGE: a weight or threshold too large, or the lower threshold above the upper.
    OutOfRange,
    /// EINVAL: an address that is not unicast, a port or mark that cannot be.
    Invalid,
    /// ENOMEM: no room for another service or real server.
    NoRoom,
    /// A local address of fullnat that cannot be.
    LocalAddress,
    /// A fullnat server of a service without local addresses.
    NoLocalAddress,
    /// A client's address that cannot be passed on.
    ClientAddress,
    /// A fullnat server of an FTP service.
    FullnatFtp,
}

impl RuleError {
    const ALL: [(RuleError, &'static str, i32, &'static str); 13] = [
        (RuleError::ServiceExists, "service_exists", 17, "Service already exists"),
        (RuleError::NoSuchService, "no_such_service", 3, "No such service"),
        (RuleError::ServiceNotDefined, "service_not_defined", 3, "Service not defined"),
        (RuleError::ServerExists, "server_exists", 17, "Destination already exists"),
        (RuleError::NoSuchServer, "no_such_server", 2, "No such destination"),
        (
            RuleError::NoSuchScheduler,
            "no_such_scheduler",
            2,
            "Scheduler or persistence engine not found",
        ),
        (RuleError::OutOfRange, "out_of_range", 34, "Numerical result out of range"),
        (
            RuleError::Invalid,
            "invalid",
            22,
            "Invalid operation.  Possibly wrong module version, address not unicast, ...",
        ),
        (RuleError::NoRoom, "no_room", 12, "Memory allocation problem"),
        (
            RuleError::LocalAddress,
            "local_address",
            22,
            "Local addresses are up to 64 unicast addresses of the service's family, none of them virtual",
        ),
        (
            RuleError::NoLocalAddress,
            "no_local_address",
            22,
            "Fullnat needs local addresses, see --local-addresses of the service",
        ),
        (
            RuleError::ClientAddress,
            "client_address",
            22,
            "The client's address is passed by TCP and fwmark services with local addresses",
        ),
        (
            RuleError::FullnatFtp,
            "fullnat_ftp",
            22,
            "Fullnat passes no data connections of FTP: the servers of a service on port 21 need masq",
        ),
    ];

    fn row(self) -> (&'static str, i32, &'static str) {
        let (_, code, errno, message) = Self::ALL[self as usize];
        (code, errno, message)
    }

    /// The name on the API.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// Linux's number for it.
    pub fn errno(self) -> i32 {
        self.row().1
    }

    /// The reason a name on the API stands for.
    pub fn from_code(code: &str) -> Option<RuleError> {
        Self::ALL.iter().find(|row| row.1 == code).map(|row| row.0)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl std::error::Error for RuleError {}

/// Which of several changes was refused, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeError {
    /// Place of the refused change, from 0.
    pub at: usize,
    /// How many changes were asked for.
    pub of: usize,
    /// The reason.
    pub error: RuleError,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of > 1 {
            write!(f, "change {} of {}: ", self.at + 1, self.of)?;
        }
        self.error.fmt(f)
    }
}

impl std::error::Error for ChangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_in_its_own_row() {
        for (place, row) in RuleError::ALL.iter().enumerate() {
            assert_eq!(row.0 as usize, place);
            assert_eq!(RuleError::from_code(row.0.code()), Some(row.0));
        }
    }
}
