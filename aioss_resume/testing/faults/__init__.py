"""What can go wrong on OSS's side, by name."""
