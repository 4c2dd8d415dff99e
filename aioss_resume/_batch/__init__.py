"""Many objects: listings, batches, prefixes."""
