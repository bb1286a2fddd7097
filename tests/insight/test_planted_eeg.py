"""A source that was planted into recordings is found by the whole way: files, train, insight."""

import pytest
from tests.recording_files import make_raw

from benchmarks.planted_eeg import look, plant, trained, write


@pytest.fixture(scope="module")
def planted():
    raws = [make_raw(seconds=90.0, events=(), seed=seed) for seed in (1, 2)]
    for raw in raws:
        raw.set_montage("standard_1005", verbose="error")
    return plant(raws, strength=3.0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # MNE, of names without _eeg
def test_files_train_and_insight_find_it_together(planted, tmp_path):
    assert planted.channels[abs(planted.field).argmax()] == "C3"
    assert planted.field.min() < 0.5 * planted.field.max()
    run = trained(write(planted, tmp_path / "data"), tmp_path / "run", 60)
    found = look(run, planted)
    assert found.accuracy["low"] > 0.5
    assert found.largest_at == "C3"
    assert found.of_pattern > 0.9
    assert 8 <= found.spectrum.peak_hz <= 12


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_shuffled_labels_are_as_many_and_others(planted, tmp_path):
    write(planted, tmp_path / "true")
    before = [list(raw.annotations.description) for raw in planted.raws]
    write(planted, tmp_path / "shuffled", shuffled=3)
    after = [list(raw.annotations.description) for raw in planted.raws]
    assert [sorted(names) for names in before] == [sorted(names) for names in after]
    assert before != after
