"""schemathesis on what /api/openapi.json says: no request is a fault, every answer is one that is described."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kahu.testing import samples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def test_every_answer_of_the_api_is_as_described(running: Any, tmp_path: Path) -> None:
    with running.http() as http:
        for number in (1, 2):
            ds = samples.instance(number=number)
            http.post("/studies", content=samples.encode(ds), headers={"Content-Type": "application/dicom"})
    command = [str(Path(sys.executable).with_name("st")), "run", f"{running.url}/api/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "40"]
    command += ["--seed", "1", "--request-timeout", "60", "--continue-on-failure"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"), check=False
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
