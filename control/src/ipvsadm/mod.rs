//! ipvsadm's command line and layouts.
