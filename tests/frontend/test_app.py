"""The app's own checks: its types, and its logic outside a browser."""

import build
import pytest

pytestmark = pytest.mark.skipif(
    not (build.FRONTEND / "node_modules" / ".bin" / "vitest").exists(),
    reason="needs `npm ci` in frontend/; ./dev test does that",
)


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_app_passes_its_own(script: str) -> None:
    build.npm("run", script, cwd=build.FRONTEND)
