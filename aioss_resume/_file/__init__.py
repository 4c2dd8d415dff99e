"""One object into one file: locked, resumed, fetched, verified and committed."""
