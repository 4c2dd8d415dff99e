"""Bridges to other packages. Each one imports its package only when it is imported itself."""
