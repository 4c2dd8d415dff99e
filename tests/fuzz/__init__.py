"""Whatever comes from outside, in any form: the readers' documented errors and nothing else, in bounded work."""
