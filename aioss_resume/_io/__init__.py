"""Effects: sockets, files, clocks, random numbers. Each module has one subject."""
