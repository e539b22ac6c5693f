"""Sessions of browsers, links that sign in, and tokens that read."""
