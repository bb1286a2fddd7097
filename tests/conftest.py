"""Fixtures for all tests: where the real data lies, and nothing else global."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data packs; the test is skipped, saying so, where there is none."""
    folder = Path(os.environ.get("VITREOUS_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set VITREOUS_DATA to run this test")
    return folder
