"""Downloads for an hour, with faults: no wrong file, and nothing that grows."""
