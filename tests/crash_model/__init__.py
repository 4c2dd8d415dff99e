"""A disk in memory that keeps a journal, and all that a power cut may leave of it."""
