import json
import subprocess
import sys

import pytest

from vitreous import __version__
from vitreous.cli.app import main


@pytest.fixture
def vitreous(monkeypatch, capsys):
    """Runs the command line; gives status, standard output and standard error."""

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitreous", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out, found.err

    return call


def test_version(vitreous):
    assert vitreous("--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    "verb", ["inspect", "train", "evaluate", "predict", "compare", "convolve", "demo"]
)
def test_every_verb_explains_itself(vitreous, verb):
    status, out, _ = vitreous(verb, "--help")
    assert status == 0
    assert f"vitreous {verb}" in out


@pytest.mark.parametrize(
    "verb", ["inspect", "train", "evaluate", "predict", "compare", "convolve", "demo"]
)
def test_every_verb_takes_a_config_and_quiet(vitreous, verb):
    out = vitreous(verb, "--help")[1]
    assert "--config" in out
    assert "--quiet" in out


def test_wrong_usage_is_status_2(vitreous):
    status, _, err = vitreous("train", "--epoch", "3")
    assert status == 2
    assert "--epochs" in err


def test_wrong_data_is_status_1_in_one_line(vitreous, tmp_path):
    status, out, err = vitreous("train", tmp_path / "nowhere")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith(f"vitreous: {tmp_path}/nowhere: does not exist")


def test_an_unknown_key_of_a_config_is_refused_with_the_nearest(vitreous, tmp_path):
    (tmp_path / "train.toml").write_text("epoch = 3\n")
    status, _, err = vitreous("train", tmp_path, "--config", tmp_path / "train.toml")
    assert status == 1
    assert "did you mean 'epochs'" in err


def test_a_broken_config_is_named(vitreous, tmp_path):
    (tmp_path / "train.toml").write_text("epochs = \n")
    status, _, err = vitreous("train", tmp_path, "--config", tmp_path / "train.toml")
    assert status == 1
    assert f"{tmp_path}/train.toml: not readable as TOML" in err


def test_the_line_wins_over_the_config(vitreous, tmp_path):
    (tmp_path / "train.toml").write_text('network = "lenet6"\nimage-size = 32\n')
    words = ("train", tmp_path / "nowhere", "--config", tmp_path / "train.toml")
    assert "nowhere: does not exist" in vitreous(*words)[2]


def test_the_import_is_light():
    code = "import sys, vitreous, vitreous.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_closed_pipe_is_no_error(tmp_path):
    words = f"{sys.executable} -m vitreous --help | head -1"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


def test_names_of_the_package_are_real():
    import vitreous

    for name in vitreous.__all__:
        assert getattr(vitreous, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        vitreous.trian  # noqa: B018
    json.dumps(dir(vitreous))


def test_a_config_takes_the_flags_as_they_are_spelled(vitreous, tmp_path):
    (tmp_path / "predict.toml").write_text('format = "json"\njson = true\n')
    words = ("predict", tmp_path / "no-run", "x.png", "--config", tmp_path / "predict.toml")
    status, _, err = vitreous(*words)
    assert (status, "not a run" in err) == (1, True)
    status, _, err = vitreous("predict", tmp_path, "x.png", "--config", tmp_path)
    assert (status, err) == (1, f"vitreous: {tmp_path}: not readable (Is a directory)\n")


def test_the_demo_does_the_main_job_once_through(vitreous, tmp_path):
    out_folder = tmp_path / "demo"
    status, out, _ = vitreous("demo", "--out", out_folder, "--epochs", "1", "--quiet")
    assert status == 0
    assert "1,797 handwritten digits" in out
    assert "accuracy" in out
    assert "the network computed" in out
    assert (out_folder / "run" / "report.html").stat().st_size > 10_000
    status, _, err = vitreous("demo", "--out", out_folder)
    assert status == 1
    assert "is not empty" in err
