"""Networks and servers that misbehave, and their threads."""
