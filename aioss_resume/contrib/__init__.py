"""Bridges to other packages, each of which is imported when the bridge is."""
