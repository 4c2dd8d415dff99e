"""Effects, one verb a module, in the order of a download."""
