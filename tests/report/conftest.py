"""Run folders to report on, made once a session."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


def load_fabricate():
    # Test modules are imported one by one, without packages: a helper is loaded by its path.
    name = "vitreous_tests_fabricate"
    if name not in sys.modules:
        spec = spec_from_file_location(name, Path(__file__).parent / "fabricate.py")
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].fabricate


@pytest.fixture(scope="session")
def fabricate():
    return load_fabricate()
