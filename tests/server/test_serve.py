"""`vitreous serve` as a process: it prints its address, keeps the rest out, and ends cleanly."""

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from vitreous.errors import DataError, RequestError
from vitreous.report import front_end
from vitreous.runs.run import Run
from vitreous.server.serve import serve


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Pages as if they were built."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>Vitreous</title>")
    monkeypatch.setattr(front_end, "STATIC", tmp_path)
    return tmp_path


@contextmanager
def running(run, pages, *flags):
    """The command with these pages, and the address that it printed."""
    script = (
        "import sys; from pathlib import Path; from vitreous.report import front_end;"
        f"front_end.STATIC = Path({str(pages)!r});"
        "from vitreous.cli import main; sys.argv[0] = 'vitreous'; main()"
    )
    call = [sys.executable, "-c", script, "serve", str(run.folder), "--port", "0", "--no-open"]
    process = subprocess.Popen(
        [*call, "--json", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate()


def test_it_prints_its_address_and_ends_cleanly(digit_run, pages):
    with running(digit_run, pages) as (process, url):
        address, token = url.split("?token=")
        assert address.startswith("http://127.0.0.1:")
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{address}api/run")
        asked = Request(f"{address}api/run", headers={"Authorization": f"Bearer {token}"})
        with urlopen(asked) as answer:  # what stays open is waited for when it ends
            assert json.load(answer)["network"] == "lenet5"
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in complaints
        assert complaints.strip().endswith("stopped")


def test_a_taken_port_is_said(digit_run, pages):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RequestError, match=rf"port {port} .*--port"):
            serve(digit_run, port=port, open_browser=False, quiet=True)


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_port_that_is_none_is_said(digit_run, pages, port):
    with pytest.raises(RequestError, match="0 to 65535"):
        serve(digit_run, port=port, open_browser=False, quiet=True)


def test_a_strange_host_and_openness_to_all_are_refused(digit_run, pages):
    with pytest.raises(RequestError, match="--host"):
        serve(digit_run, host="no-such-host.invalid", open_browser=False, quiet=True)
    with pytest.raises(RequestError, match="everybody"):
        serve(digit_run, host="0.0.0.0", token=False, open_browser=False, quiet=True)


def test_pages_that_are_not_built_are_one_line(digit_run, tmp_path, monkeypatch):
    monkeypatch.setattr(front_end, "STATIC", tmp_path / "nowhere")
    with pytest.raises(RequestError, match=r"not built.*make web") as told:
        serve(digit_run, open_browser=False, quiet=True)
    assert "\n" not in str(told.value)


def test_what_is_no_run_is_one_line(tmp_path, pages):
    with pytest.raises(DataError, match=r"not a run") as told:
        serve(tmp_path, port=0, open_browser=False, quiet=True)
    assert "\n" not in str(told.value)


def test_a_run_of_another_kind_is_not_compared(digit_run, pages):
    recorded = Run(digit_run.folder, replace(digit_run.record, signal="eeg"))
    with pytest.raises(RequestError, match="another kind of data"):
        serve(digit_run, recorded, port=0, open_browser=False, quiet=True)


def test_a_missing_extra_is_named(digit_run, pages, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(RequestError, match=r"vitreous\[serve\]"):
        serve(digit_run, open_browser=False, quiet=True)
