"""The documentation site: `make docs` and the build of the wheel put its files into `built/`."""
