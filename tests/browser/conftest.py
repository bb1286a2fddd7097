"""The system's Chromium, cut off from the network, and reports to open in it."""

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from tests.report.made_listening import made_listening

from vitreous.files import read_json, write_json
from vitreous.report.extras import Extras
from vitreous.report.render import write_report

from .pages import TOKEN

CHROMIUM = os.environ.get("VITREOUS_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
REPOSITORY = Path(__file__).resolve().parents[2]
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def browser():
    if not Path(CHROMIUM).exists():
        pytest.skip(
            "Chromium not found; get it with `apt-get install -y chromium`, or set "
            "VITREOUS_CHROMIUM to its path"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield started
        started.close()


@pytest.fixture(scope="session")
def front_end():
    """The pages as the sources are now; skipped, loudly, where there is no Node."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "hatch_build.py")], capture_output=True, text=True
    )
    if done.returncode and "Node" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def serve(front_end):
    """Serves an explorer in this process until the tests end; gives its address."""
    import uvicorn

    from vitreous.report.front_end import built_front_end
    from vitreous.server.app import create_app
    from vitreous.server.guard import Guard
    from vitreous.server.serve import _bound

    started = []

    def start(explorer) -> str:
        listening = _bound("127.0.0.1", 0)
        guard = Guard(create_app(explorer, built_front_end()), TOKEN)
        config = uvicorn.Config(guard, log_config=None, access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        started.append((server, thread, listening))
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield start
    for server, thread, listening in started:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory):
    """The path of a report of each kind, by name; made when first asked for."""
    fabricate = _load_fabricate()
    make = {
        "ten": fabricate.classify,
        "many": lambda folder: fabricate.classify(folder, 120),
        "interrupted": lambda folder: fabricate.classify(folder, status="interrupted"),
        "multilabel": fabricate.multilabel,
        "regress": fabricate.regress,
        "evil": lambda folder: _with_evil_names(folder, fabricate),
        "trials": lambda folder: _of_trials(folder, fabricate),
    }
    root = tmp_path_factory.mktemp("reports")

    class Reports(dict):
        def __missing__(self, name: str) -> Path:
            self[name] = write_report(root / name, make[name](root / name))
            return self[name]

    return Reports()


def _with_evil_names(folder: Path, fabricate):
    extras = fabricate.classify(folder, 2)
    fabricate.rename_class(folder, "three", "<img src=http://evil.test/x onerror=alert(1)>")
    fabricate.rename_class(folder, "eight", "</script><script>alert(2)</script>")
    return extras


BASELINES = ("majority class", "CSP and linear discriminant",
             "tangent space and logistic regression", "ridge on log band power")  # fmt: skip


def _of_trials(folder: Path, fabricate):
    extras = fabricate.classify(folder, 2)
    write_json(folder / "run.json", read_json(folder / "run.json") | {"signal": "eeg"})
    evaluation = read_json(folder / "evaluation.json")
    [scores, *_] = evaluation["baselines"].values()  # as many as real ones have
    evaluation["baselines"] = dict.fromkeys(BASELINES, scores)
    write_json(folder / "evaluation.json", evaluation)
    found = made_listening(eyes=True)
    found = replace(found, ablations=4 * found.ablations)
    return Extras(network_table=extras.network_table, listening=found)


def _load_fabricate():
    name = "vitreous_tests_fabricate"
    if name not in sys.modules:
        path = Path(__file__).resolve().parent.parent / "report" / "fabricate.py"
        spec = spec_from_file_location(name, path)
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].fabricate
