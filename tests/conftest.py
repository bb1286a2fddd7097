"""Fixtures for all tests: where the real data lies, and the run that server and browser show."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data packs; the test is skipped, saying so, where there is none."""
    folder = Path(os.environ.get("VITREOUS_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set VITREOUS_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def digit_run(tmp_path_factory):
    """A LeNet-5 trained, not too well, on 400 handwritten digits; data beside the run."""
    from sklearn.datasets import load_digits

    from vitreous.runs.train import train

    folder = tmp_path_factory.mktemp("digit_run")
    values, labels = load_digits(return_X_y=True)
    pictures = np.round(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for label in range(10):
        (folder / "digits" / str(label)).mkdir(parents=True)
        for number in np.flatnonzero(labels == label)[:40]:
            Image.fromarray(pictures[number]).save(
                folder / "digits" / str(label) / f"{number:04d}.png"
            )
    before = os.environ.get("VITREOUS_CACHE")
    os.environ["VITREOUS_CACHE"] = str(folder / "cache")
    try:
        return train(
            folder / "digits", network="lenet5", image_size=32, epochs=4, out=folder / "run",
            precision="float32", compile="no", quiet=True,
        )  # fmt: skip
    finally:
        if before is None:
            del os.environ["VITREOUS_CACHE"]
        else:
            os.environ["VITREOUS_CACHE"] = before


@pytest.fixture(scope="session")
def shape_run(tmp_path_factory):
    """A small U-Net trained on drawn discs and bars: masks; data beside the run."""
    from tests.runs.test_masks import CLASSES, write_shapes

    from vitreous.runs.train import train
    from vitreous.training import masks

    folder = tmp_path_factory.mktemp("shape_run")
    data = write_shapes(folder / "shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setattr(masks, "STEPS_AN_EPOCH", 12)
        return train(data, classes=CLASSES, epochs=4, precision="float32", compile="no",
                     out=folder / "run", quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def box_run(tmp_path_factory):
    """A detector trained on bright rectangles of two colours; data beside the run."""
    from tests.runs.test_boxes import paint

    from vitreous.runs.train import train

    folder = tmp_path_factory.mktemp("box_run")
    data = paint(folder / "data", 32, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        return train(data / "boxes.csv", epochs=10, seed=1, learning_rate=4e-3, compile="no",
                     precision="float32", out=folder / "run", quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def scan_run(tmp_path_factory):
    """A small U-Net on made scans with two structures each; data beside the run."""
    from tests.made_scans import decathlon
    from tests.runs.test_volumes import PLAN

    from vitreous.runs.train import train
    from vitreous.training import volume_batches

    folder = tmp_path_factory.mktemp("scan_run")
    data = decathlon(folder / "data", cases=9)
    (folder / "plan.toml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setattr(volume_batches, "FEWEST_BATCHES", 8)
        return train(data, plan=folder / "plan.toml", epochs=2, precision="float32", compile="no",
                     out=folder / "run", quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def whole_scan_run(tmp_path_factory):
    """A residual network on whole made scans with a label each; data beside the run."""
    from tests.runs.test_whole_scans import table_of_scans

    from vitreous.runs.train import train

    folder = tmp_path_factory.mktemp("whole_scan_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITREOUS_CACHE", str(folder / "cache"))
        patch.setenv("VITREOUS_SALT", "a test's own")
        data = table_of_scans(folder / "data", patients=8)
        return train(data, epochs=2, precision="float32", compile="no", out=folder / "run",
                     quiet=True)  # fmt: skip


@pytest.fixture(scope="session")
def trial_run(tmp_path_factory):
    """An EEGNet trained on one recording: `right` has a rhythm over C3, `left` over C4."""
    pytest.importorskip("mne", reason="the extra `eeg` is not installed")
    from tests.recording_files import write_edf

    from vitreous.runs.train import train

    folder = tmp_path_factory.mktemp("trial_run")
    write_edf(folder / "recordings" / "a.edf", seconds=122.0, rhythm=25.0, date=True)
    return train(
        folder / "recordings", network="eegnet", epochs=30, out=folder / "run",
        precision="float32", compile="no", quiet=True,
    )  # fmt: skip
