"""One object into one file: reserved, resumed, fetched, verified, committed."""
