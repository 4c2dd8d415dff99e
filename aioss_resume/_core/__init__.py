"""Rules: pure functions and classes, without sockets, files, clocks, sleeps, random numbers or logs."""
