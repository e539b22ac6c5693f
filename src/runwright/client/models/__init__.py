"""What the server answers with. Fields that this version does not know are ignored, and kept in `raw`."""
