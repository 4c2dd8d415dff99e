"""Several real processes, one destination."""
