"""Trials that come as arrays: `.ts`, `.npz`, `.npy`."""

import numpy as np
import pytest

from vitreous.data.recordings import RecordingSettings, holds_recordings, read_recordings
from vitreous.errors import RequestError

TS = """#a comment
@problemName Fingers
@timeStamps false
@classLabel true left right
@data
1,2,3:4,5,6:left
-1,2.5,3:4,5,6e-1:right
7,8,?:4,5,6:right
0,8,1:4,5,6:left
"""


def read(path, **settings):
    return read_recordings(path, RecordingSettings(**settings))


def test_ts_as_written(tmp_path):
    (tmp_path / "Fingers_TRAIN.ts").write_text(TS)
    (tmp_path / "Fingers_TEST.ts").write_text(TS)
    source = read(tmp_path, sampling_rate_hz=100.0, channels="C3,C4")
    assert source.trials.values.shape == (6, 2, 3)
    np.testing.assert_allclose(source.trials.values[1], [[-1, 2.5, 3], [4, 5, 0.6]])
    assert source.trials.channels == ("C3", "C4")
    assert [sample.split for sample in source.samples] == ["test"] * 3 + ["train"] * 3
    assert source.samples[1].sample_id == "Fingers_TEST.ts#1"
    missing = [item.path for item in source.skipped if not item.harmless]
    assert missing == ["Fingers_TEST.ts#2", "Fingers_TRAIN.ts#2"]


def test_the_sampling_rate_must_be_said(tmp_path):
    (tmp_path / "a.ts").write_text(TS)
    with pytest.raises(RequestError, match="add --sampling-rate"):
        read(tmp_path)


def test_npz_with_subjects(tmp_path):
    random = np.random.default_rng(0)
    values = random.normal(size=(6, 3, 50)).astype(np.float32)
    np.savez(
        tmp_path / "a.npz", X=values, y=np.array(list("aabbab")), sfreq=250.0,
        ch_names=np.array(["C3", "Cz", "C4"]), subjects=np.array([1, 1, 1, 2, 2, 2]),
    )  # fmt: skip
    assert holds_recordings(tmp_path / "a.npz")
    source = read(tmp_path)
    np.testing.assert_array_equal(source.trials.values, values)
    assert source.trials.sampling_rate_hz == 250
    assert [sample.group for sample in source.samples] == ["1"] * 3 + ["2"] * 3
    assert source.trials.channels == ("C3", "Cz", "C4")


def test_npy_beside_its_labels(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 2, 30))
    np.save(tmp_path / "X.npy", values)
    np.save(tmp_path / "y.npy", np.array([0, 1, 1, 0]))
    source = read(tmp_path, sampling_rate_hz=128.0)
    np.testing.assert_allclose(source.trials.values, values, rtol=1e-6)
    assert source.classes == ("0", "1")


def test_an_archive_of_pictures_is_left_to_their_reader(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 8, 8), np.uint8), y=np.array([0, 1, 0, 1]))
    assert not holds_recordings(tmp_path)
