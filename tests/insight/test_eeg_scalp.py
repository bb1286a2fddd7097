"""Maps of the head: through the electrodes' values, in place, and as MNE draws them."""

import numpy as np
import pytest

from vitreous.insight.eeg_scalp import CELLS, flat_places, scalp_map

RADIUS_M = 0.095
CENTRE_Y_M = -0.018  # of the standard head, in MNE's coordinates


def sphere(*angles):
    """Places on a sphere at (from the top, from the right) in degrees, metres."""
    top, right = np.radians(np.array(angles)).T
    return RADIUS_M * np.column_stack(
        [np.sin(top) * np.cos(right), np.sin(top) * np.sin(right), np.cos(top)]
    )


CAP = sphere(
    *[(0, 0)] + [(45, a) for a in range(0, 360, 45)] + [(90, a) for a in range(0, 360, 30)]
)


def test_the_vertex_is_in_the_middle_and_the_equator_at_one():
    flat = flat_places(CAP + np.array([0.002, -0.02, 0.01]))  # wherever the head stands
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), [0] + [0.5] * 8 + [1] * 12, atol=1e-6)
    np.testing.assert_allclose(flat[1], [0.5, 0], atol=1e-6)  # to the right
    np.testing.assert_allclose(flat[3], [0, 0.5], atol=1e-6)  # to the front


def cell_at(made, right, front):
    column = int((right + made.reach) / (2 * made.reach) * CELLS)
    row = int((made.reach - front) / (2 * made.reach) * CELLS)
    return made.cells[row, column]


def test_it_runs_through_the_values_and_stays_in_their_range():
    values = np.random.default_rng(0).normal(size=len(CAP))
    made = scalp_map(values, CAP)
    for place, value in zip(made.places, values, strict=True):
        assert cell_at(made, *place) == pytest.approx(value, abs=0.35)
    inside = made.cells[np.isfinite(made.cells)]
    assert values.min() <= inside.min()
    assert inside.max() <= values.max()
    assert np.isnan(made.cells[0, 0])
    # a slope is kept as it is
    flat = flat_places(CAP)
    slope = scalp_map(2 * flat[:, 0] + flat[:, 1], CAP)
    assert cell_at(slope, 0.3, 0.2) == pytest.approx(0.8, abs=0.05)


def test_too_few_places_make_no_map():
    places = np.full((6, 3), np.nan)
    places[:3] = CAP[:3]
    assert scalp_map(np.ones(6), places) is None
    line = sphere((60, 90), (30, 90), (0, 90), (30, -90), (60, -90))  # Fpz to Oz
    assert scalp_map(np.arange(5.0), line) is None
    some = CAP.copy()
    some[4] = np.nan
    made = scalp_map(np.ones(len(CAP)), some)
    assert 4 not in made.placed
    assert np.nanmax(np.abs(made.cells - 1)) < 1e-6


def test_it_is_what_mne_draws():
    mne = pytest.importorskip("mne")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from vitreous.data.recordings.channels import positions_of

    names = ["Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3",
             "Pz", "P4", "P8", "O1", "O2", "FC1", "FC2", "CP1", "CP2", "Oz"]  # fmt: skip
    positions = positions_of(names)
    values = np.exp(-np.linalg.norm(positions - positions[names.index("C3")], axis=1) / 0.05)
    values -= 0.6 * np.exp(-np.linalg.norm(positions - positions[names.index("O2")], axis=1) / 0.04)
    made = scalp_map(values, positions)
    info = mne.create_info(names, 100.0, "eeg", verbose="error")
    info.set_montage(
        mne.channels.make_dig_montage(dict(zip(names, positions, strict=True)), coord_frame="head"),
        verbose="error",
    )
    figure, axes = plt.subplots()
    try:
        image, _ = mne.viz.plot_topomap(
            values,
            info,
            axes=axes,
            show=False,
            contours=0,
            res=64,
            sphere=(0, CENTRE_Y_M, 0, RADIUS_M),
        )
        drawn = np.asarray(image.get_array())[::-1]  # its first row is at the back
        left, right, back, front = image.get_extent()
    finally:
        plt.close(figure)
    ours, theirs = [], []
    for x in np.linspace(-0.7, 0.7, 15):
        for y in np.linspace(-0.7, 0.7, 15):
            if np.hypot(x, y) < 0.75:
                column = int((x * RADIUS_M - left) / (right - left) * 64)
                row = int((front - y * RADIUS_M - CENTRE_Y_M) / (front - back) * 64)
                ours.append(cell_at(made, x, y))
                theirs.append(drawn[row, column])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95
