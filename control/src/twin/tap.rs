//! One TAP interface. It lives as long as its file descriptor: gone with the process, however
//! that ends.

use super::{TwinError, TwinSpec};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Where frames for Linux go and Linux's come from; tests have one without a kernel.
pub trait Tap {
    /// Takes the next frame that Linux sent into `buffer`, cut to its length, and says how long it
    /// was. `WouldBlock` if there is none; any other error means that the TAP is gone.
    fn recv(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Gives Linux a frame. `WouldBlock` if it has no buffer for it.
    fn send(&self, frame: &[u8]) -> io::Result<usize>;
}

/// A TAP of the running kernel.
pub struct KernelTap(SyncDevice);

impl KernelTap {
    /// Makes the interface in the calling thread's network namespace and sets it up. Without
    /// offloads, so that Linux segments and completes every checksum itself.
    pub fn create(spec: &TwinSpec) -> Result<Self, TwinError> {
        let failed = |cause| TwinError::Tap(spec.name.clone(), cause);
        let device = DeviceBuilder::new()
            .name(&spec.name)
            .layer(Layer::L2)
            .packet_information(false)
            .offload(false)
            .mac_addr(spec.mac)
            .mtu(spec.mtu)
            .enable(true)
            .build_sync()
            .map_err(failed)?;
        device.set_nonblocking(true).map_err(failed)?;
        let given = device.name().map_err(failed)?;
        if given != spec.name {
            return Err(TwinError::Renamed(spec.name.clone(), given));
        }
        Ok(KernelTap(device))
    }
}

impl Tap for KernelTap {
    fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
    fn send(&self, frame: &[u8]) -> io::Result<usize> {
        self.0.send(frame)
    }
}

impl AsFd for KernelTap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
