"""Builds the documentation site into the wheel, and requires the dashboard, which `make setup` has built.

The dashboard is also in the source distribution, so that a wheel can be built from it without Node.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DASHBOARD = Path("src/runwright/web/built/manifest.json")


class DistributionHook(BuildHookInterface):
    """Completes a wheel or a source distribution. A checkout has its site by `make docs`."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if not (Path(self.root) / DASHBOARD).is_file():
            sys.exit("The dashboard has not been built: run `make setup`, which says why if it cannot be.")
        if self.target_name == "wheel":
            self._build_docs(build_data)

    def _build_docs(self, build_data: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="runwright-docs-")
        # Not with --quiet, which hides warnings from --strict as well.
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", self._folder.name]
        environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"The documentation cannot be built:\n{done.stderr}")
        build_data["force_include"][self._folder.name] = "runwright/docs_site/built"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  hatchling's
        if self._folder is not None:
            self._folder.cleanup()
