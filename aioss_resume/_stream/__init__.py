"""One object's bytes to the caller."""
