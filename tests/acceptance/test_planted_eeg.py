"""The planted source in real EEG, by the benchmark that keeps its figures. About ten minutes."""

import pytest

from benchmarks.planted_eeg import measured

pytestmark = [pytest.mark.data, pytest.mark.acceptance]


@pytest.mark.filterwarnings("ignore")
def test_the_source_is_found_and_shuffled_labels_are_at_chance(real_data):
    rows = measured(real_data / "physionet_eegbci_s001", repetitions=20, epochs=30)
    accuracy, place, pattern, _, peak, covered = rows
    assert float(accuracy["spread"].split(" to ")[0]) > 0.5
    assert place["value"] == "C3"
    assert pattern["value"] >= 0.9
    assert 8 <= peak["value"] <= 12
    assert covered["value"] >= 19
