"""What `--memory` promises is kept by real steps, in a process whose memory is looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vitreous.data.volumes.plan import memory_bytes

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is read from Linux' /proc")
@pytest.mark.parametrize(
    "asked", [("250MB", 96, 1, 2), ("250MB", 64, 1)], ids=["masks, by patches", "whole scans"]
)
def test_steps_take_no_more_than_was_allowed_and_not_much_less(asked):
    """The short form of benchmarks/scan_memory.py; larger budgets were measured there."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scan_memory", "--step", json.dumps(asked)],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    allowed = memory_bytes(asked[0]) / 1e9
    assert found["promised_gb"] <= allowed
    assert 0.4 * found["promised_gb"] < found["gb"] <= allowed
