"""A city of simulated partners: real processes on real sockets, with their own books and faults on demand."""
