"""The front end's build: its types are the server's, and it stays small."""

import gzip
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from vitreous.server.openapi import schema_text

REPOSITORY = Path(__file__).resolve().parents[2]
WEB = REPOSITORY / "web"
LARGEST_SCRIPT = 120_000  # bytes, gzipped


@pytest.fixture(scope="module")
def hook():
    """`hatch_build.py`, with what npm installs; skipped where there is no Node."""
    spec = spec_from_file_location("hatch_build", REPOSITORY / "hatch_build.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules["hatch_build"] = module
    spec.loader.exec_module(module)
    try:
        module.build_front_end()
    except module.NoNodeError as error:
        pytest.skip(str(error))
    return module


def test_the_schema_is_current():
    assert (WEB / "openapi.json").read_text(encoding="utf-8") == schema_text(), "run `make types`"


def test_the_types_are_those_of_the_schema(hook, tmp_path):
    made = tmp_path / "schema.d.ts"
    assert hook.write_types(str(made)) == 0
    assert made.read_text() == (WEB / "src" / "schema.d.ts").read_text(), "run `make types`"


def test_the_front_end_has_no_type_errors(hook):
    done = hook.run_npm("run", "check")
    assert done.returncode == 0, done.stdout


def test_a_build_that_is_current_is_not_made_again(hook):
    assert hook.build_front_end() is False


def test_the_scripts_are_small_and_name_no_other_host(hook):
    scripts = list((hook.STATIC / "assets").glob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(path.read_bytes())) for path in scripts) <= LARGEST_SCRIPT
    allowed = {"http://www.w3.org", "https://svelte.dev"}  # name spaces; texts of errors
    for path in (hook.STATIC / "index.html", *(hook.STATIC / "assets").iterdir()):
        text = path.read_text()
        for scheme in ("http://", "https://"):
            for rest in text.split(scheme)[1:]:
                host = scheme + rest.split("/")[0].split("`")[0].split('"')[0]
                assert host in allowed, f"{path.name} names {host}"
