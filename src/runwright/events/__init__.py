"""The log of facts, who wants which of them, and who was told."""
