"""How fast, how big and how late: this library and its rivals, measured side by side."""
