"""The command line: what `aioss-resume` does when it is run by a person."""
