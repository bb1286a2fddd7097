"""A fitted classifier in a folder: the same answers after it was read, no pickle, plain errors."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file
from sklearn.exceptions import NotFittedError

from vitreous import EEGClassifier
from vitreous.errors import DataError


def trials(n=24, channels=5, samples=256):
    random = np.random.default_rng(0)
    labels = np.array(["left", "right"])[np.arange(n) % 2]
    values = random.normal(size=(n, channels, samples)) * 1e-5
    values[labels == "right", 2] *= 2
    return values, labels


@pytest.fixture(scope="module")
def fitted():
    values, labels = trials()
    return EEGClassifier("eegnet", sampling_rate_hz=100.0, epochs=4, seed=5).fit(values, labels)


@pytest.fixture(scope="module")
def folder(fitted, tmp_path_factory):
    return fitted.save(tmp_path_factory.mktemp("saved") / "decoder")


def test_what_is_loaded_answers_alike(fitted, folder):
    values, labels = trials()
    loaded = EEGClassifier.load(folder)
    np.testing.assert_array_equal(loaded.predict_proba(values), fitted.predict_proba(values))
    np.testing.assert_array_equal(loaded.predict(values), fitted.predict(values))
    assert loaded.score(values, labels) == fitted.score(values, labels)
    assert loaded.get_params() == fitted.get_params()
    assert list(loaded.classes_) == ["left", "right"]
    assert loaded.scaling_ == fitted.scaling_
    again = loaded.fit(values, labels)  # it is the classifier that was made, not only its answers
    np.testing.assert_allclose(again.predict_proba(values), fitted.predict_proba(values), atol=1e-6)


def test_the_folder_holds_tensors_and_json_alone(fitted, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "estimator.json", "network.safetensors",
    ]  # fmt: skip
    record = json.loads((folder / "estimator.json").read_text())
    assert record["parameters"]["network"] == "eegnet"
    assert len(record["scaling"]["mean"]) == 5
    tensors = load_file(folder / "network.safetensors")
    assert set(tensors) == set(fitted.network_.state_dict())


def test_lengths_go_by_the_sampling_rate(fitted):
    """EEGNet's first kernel is half a second: 64 samples of 128 Hz, 50 of 100 Hz."""
    assert fitted.network_.card.sampling_rate_hz == 100.0
    assert fitted.network_.features.bank.temporal.weight.shape[-1] == 50
    values, labels = trials()
    plain = EEGClassifier("eegnet", epochs=1).fit(values, labels)
    assert plain.network_.features.bank.temporal.weight.shape[-1] == 64


def test_epochs_of_mne_bring_their_rate():
    mne = pytest.importorskip("mne")
    values, labels = trials()
    info = mne.create_info([f"E{k}" for k in range(5)], 100.0, "eeg")
    codes = (labels == "right").astype(int) + 1
    events = np.stack([np.arange(24) * 300, np.zeros(24, int), codes], axis=1)
    epochs = mne.EpochsArray(values, info, events, verbose="error")
    found = EEGClassifier("eegnet", epochs=1).fit(epochs)
    assert found.network_.card.sampling_rate_hz == 100.0


def test_what_is_damaged_is_said_with_its_path(folder, tmp_path):
    with pytest.raises(NotFittedError):
        EEGClassifier("eegnet").save(tmp_path / "x")
    with pytest.raises(DataError, match=r"estimator\.json"):
        EEGClassifier.load(tmp_path)
    for change, said in (
        (lambda record: record | {"format": 9}, "no classifier of format 1"),
        (lambda record: {k: v for k, v in record.items() if k != "classes"}, "incomplete"),
        (lambda record: record | {"parameters": {"nothing": 1}}, "incomplete"),
    ):
        broken = tmp_path / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(folder, broken)
        record = json.loads((broken / "estimator.json").read_text())
        (broken / "estimator.json").write_text(json.dumps(change(record)))
        with pytest.raises(DataError, match=said) as error:
            EEGClassifier.load(broken)
        assert str(broken / "estimator.json") in str(error.value)
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    content = (cut / "network.safetensors").read_bytes()
    (cut / "network.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"network\.safetensors"):
        EEGClassifier.load(cut)
