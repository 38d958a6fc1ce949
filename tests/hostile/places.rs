//! Makers of files that are none: FIFOs, devices, sockets, links, and files of another user.
