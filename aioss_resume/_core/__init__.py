"""Rules: numbers and bytes in, answers out. No socket, file, clock, sleep, random number or log line."""
