"""A folder of real digits and a run on it, made once for all tests here."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from vitreous.runs.run import Run
from vitreous.runs.train import train

EACH = 24  # pictures a class


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache."""
    before = os.environ.get("VITREOUS_CACHE")
    os.environ["VITREOUS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["VITREOUS_CACHE"]
    else:
        os.environ["VITREOUS_CACHE"] = before


def digit_pictures(label: int, count: int = EACH) -> np.ndarray:
    """Uint8 (count, 32, 32) pictures of one digit."""
    values, labels = load_digits(return_X_y=True)
    pictures = np.round(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    chosen = pictures[labels == label][:count]
    return chosen.repeat(4, axis=1).repeat(4, axis=2)


def write_digits(folder: Path, labels=range(4), count: int = EACH) -> Path:
    for label in labels:
        (folder / str(label)).mkdir(parents=True)
        for number, picture in enumerate(digit_pictures(label, count)):
            Image.fromarray(picture).save(folder / str(label) / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """Four classes of 24 pictures, and one file that is no picture."""
    folder = write_digits(tmp_path_factory.mktemp("data") / "digits")
    (folder / "0" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def run(digits, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "first"
    return train(digits, network="lenet5", epochs=12, out=folder, quiet=True)


@pytest.fixture(scope="session")
def recorded_session(tmp_path_factory) -> Path:
    """One session of 80 trials with a strong rhythm."""
    from tests.recording_files import write_edf

    folder = tmp_path_factory.mktemp("data") / "session"
    write_edf(folder / "a.edf", seconds=122.0, rhythm=25.0, date=True)
    return folder


@pytest.fixture(scope="session")
def recorded_run(recorded_session, tmp_path_factory) -> Run:
    """A run on that session, of a network that is the user's own."""
    from tests.small_decoder import small

    out = tmp_path_factory.mktemp("runs") / "one"
    return train(recorded_session, network=small(), epochs=12, learning_rate=3e-3, out=out,
                 precision="float32", compile="no", quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def subjects(tmp_path_factory) -> Path:
    """A BIDS-like folder of three subjects, 26 trials each."""
    from tests.recording_files import write_subjects

    return write_subjects(tmp_path_factory.mktemp("data") / "bids", 3, rhythm=25.0, seconds=40.0)


@pytest.fixture(scope="session")
def study(subjects, tmp_path_factory):
    """Three folds, two seeds, of a network that is the user's own."""
    from tests.small_decoder import small

    out = tmp_path_factory.mktemp("runs") / "study"
    return train(subjects, network=small(), epochs=8, seeds=2, protocol="across-subjects", out=out,
                 precision="float32", compile="no", quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def eegnet_study(subjects, tmp_path_factory):
    """Three folds, one seed, of EEGNet, which is built again by its name."""
    out = tmp_path_factory.mktemp("runs") / "eegnet"
    return train(subjects, network="eegnet", epochs=12, protocol="across-subjects", out=out,
                 precision="float32", compile="no", quiet=True)  # fmt: skip
