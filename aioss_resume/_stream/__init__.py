"""Reading an object: slices, ranges and streams."""
