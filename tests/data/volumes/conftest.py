"""Every test here has a key and a cache of its own."""

import pytest


@pytest.fixture(autouse=True)
def own_key_and_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("VITREOUS_SALT", "a test's own")
    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path_factory.mktemp("cache")))
