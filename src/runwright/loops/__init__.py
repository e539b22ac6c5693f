"""Long-lived loops, one file each. Each has `start` and `stop`, both safe at any time."""
