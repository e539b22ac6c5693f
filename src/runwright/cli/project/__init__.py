"""A folder with workers: its `runwright.toml`, and the files that an upload takes."""
