"""What can go wrong on the side of OSS, by name."""
