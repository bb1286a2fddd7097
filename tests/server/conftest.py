"""The server on a small run, and its bytes read back."""

import json

import numpy as np
import pytest

ADDRESS = "http://127.0.0.1:8420"


@pytest.fixture(scope="session")
def explorer(digit_run):
    from vitreous.server.explorer import Explorer

    return Explorer(digit_run)


@pytest.fixture
def client(explorer):
    from starlette.testclient import TestClient

    from vitreous.server.app import create_app

    with TestClient(create_app(explorer), base_url=ADDRESS) as found:
        yield found


@pytest.fixture(scope="session")
def unpacked():
    """Blocks of a pack by name, as (values, header); a second derivation of the format."""

    def read(content: bytes) -> dict:
        length = int.from_bytes(content[:4], "little")
        header = json.loads(content[4 : 4 + length])
        found = {}
        for block in header["blocks"]:
            kind = np.dtype("<f4") if block["kind"] == "numbers" else np.dtype("u1")
            start = 4 + length + block["offset"]
            assert start % 4 == 0
            count = int(np.prod(block["shape"]))
            values = np.frombuffer(content, kind, count, start).reshape(block["shape"])
            found[block["name"]] = (values, block)
        return {"blocks": found, "activity": header["activity"]}

    return read
