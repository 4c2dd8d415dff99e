"""Misbehaving networks and servers, and their threads."""
