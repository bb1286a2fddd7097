"""The planted source in real EEG, by the benchmark that keeps its figures. About 15 minutes."""

import pytest

from benchmarks.planted_eeg import measured

pytestmark = [pytest.mark.data, pytest.mark.acceptance]


@pytest.mark.filterwarnings("ignore")
def test_the_source_is_found_and_shuffled_labels_are_at_chance(real_data, tmp_path):
    *found, covered = measured(real_data / "physionet_eegbci_s001", tmp_path)
    for first in (0, 5):
        accuracy, place, pattern, _, peak = found[first : first + 5]
        assert float(accuracy["spread"].split(" to ")[0]) > 0.5
        assert place["value"] == "C3"
        assert pattern["value"] >= 0.9
        assert 8 <= peak["value"] <= 12
    assert covered["value"] >= 95  # of 100, the first twenty of which hold 18
