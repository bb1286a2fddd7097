"""Figures of structures equal MONAI's; intervals are over patients."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from vitreous.evaluation.resampling import grouping
from vitreous.evaluation.scored import Sampling
from vitreous.evaluation.volumes import compare_volumes, volume_figures

with warnings.catch_warnings():  # MONAI's own, about what it will change
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")


def regions(seed, shape=(14, 16, 15)):
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.normal(size=(3, *shape)), (0, 2, 2, 2))
    return smooth.argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.9, 0.7)])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_dice_surface_dice_and_hausdorff_are_monais(seed, spacing):
    truth = regions(seed)
    answer = np.roll(truth, 1, axis=1) if seed % 2 else regions(seed + 100)
    found = compare_volumes(truth, answer, 3, spacing, tolerance_mm=2.0)
    one_hot = [torch.from_numpy(np.stack([mask == c for c in range(3)]))[None]
               for mask in (answer, truth)]  # fmt: skip
    y_pred, y = one_hot
    dice = metrics.compute_dice(y_pred.float(), y.float())[0].numpy()
    assert found.dice == pytest.approx(dice, rel=1e-5)
    hausdorff = metrics.compute_hausdorff_distance(
        y_pred, y, include_background=True, percentile=95, spacing=spacing
    )[0].numpy()
    assert found.hausdorff95 == pytest.approx(hausdorff, rel=1e-5)
    surface = metrics.compute_surface_dice(
        y_pred, y, [2.0] * 3, include_background=True, spacing=spacing
    )[0].numpy()
    assert found.surface_dice == pytest.approx(surface, abs=2e-3)


def test_a_structure_that_one_side_lacks_has_numbers():
    truth = np.zeros((10, 10, 10), np.uint8)
    answer = truth.copy()
    answer[2:4, 2:4, 2:4] = 1
    found = compare_volumes(truth, answer, 3, (1.0, 1.0, 2.0))
    assert found.dice[1] == found.surface_dice[1] == 0
    assert found.hausdorff95[1] == pytest.approx(np.sqrt(100 + 100 + 400))
    assert found.volume_error[1] == pytest.approx(8 * 2 / 1000)
    assert np.isnan(found.dice[2])
    assert np.isnan(found.volume_error[2])


def test_what_truth_leaves_open_counts_for_nothing():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[:3] = 1
    answer = truth.copy()
    truth[0], answer[0] = 255, 0
    assert compare_volumes(truth, answer, 2, (1, 1, 1)).dice.tolist() == [1.0, 1.0]


def test_figures_are_means_over_scans_with_intervals_over_patients():
    scans, patients = [], []
    for case in range(12):
        truth = regions(case // 2)
        answer = truth.copy()
        answer[: case // 2] = 0
        scans.append(compare_volumes(truth, answer, 3, (1.0, 1.0, 1.0)))
        patients.append(f"patient-{case // 2}")
    sampling = Sampling(grouping(patients, 12), seed=0)
    figures = volume_figures(scans, ("background", "front", "back"), sampling)
    dice = np.stack([scan.dice for scan in scans])[:, 1:]
    assert figures.metrics["dice"].value == pytest.approx(dice.mean())
    assert [row.scores["dice"].value for row in figures.per_class] == pytest.approx(
        dice.mean(axis=0).tolist()
    )
    for score in (*figures.metrics.values(), *figures.per_class[0].scores.values()):
        assert score.low <= score.value <= score.high
        assert score.low < score.high
    alone = volume_figures(scans, ("background", "front", "back"), Sampling(grouping(None, 12)))
    width = [s.metrics["dice"].high - s.metrics["dice"].low for s in (figures, alone)]
    assert width[0] > width[1]  # two scans of a patient are not two patients
    assert figures.metrics["hausdorff95"].unit == "mm"
