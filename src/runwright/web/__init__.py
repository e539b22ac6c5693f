"""The dashboard: `scripts/build_web` and the build of the wheel put its files into `built/`."""
