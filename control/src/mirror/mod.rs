//! Linux's addresses, routes and neighbours, through netlink.
