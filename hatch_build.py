"""Builds the documentation site into the wheel, so that the server has it at /docs."""

import os
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DocsSiteHook(BuildHookInterface):
    """Runs MkDocs for a wheel. A checkout has its site by `make docs`."""

    _folder: tempfile.TemporaryDirectory[str]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
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
        if version != "editable":
            self._folder.cleanup()
