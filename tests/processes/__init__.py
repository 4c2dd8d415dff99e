"""Real processes: several for one destination, host programs, one whose system calls fail."""
