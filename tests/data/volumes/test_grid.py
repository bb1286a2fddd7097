"""Grids against nibabel, which everybody trusts with NIfTI's orientations."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_scans import affine_of

from vitreous.data.volumes.grid import Grid, from_lps, turn_to_ras
from vitreous.errors import DataError


def random_affine(seed, slanted):
    random = np.random.default_rng(seed)
    axes = np.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3)
    tilt = np.linalg.qr(np.eye(3) + slanted * random.normal(size=(3, 3)))[0]
    tilt *= np.sign(np.diag(tilt))
    affine = affine_of(random.uniform(0.4, 6, 3), random.uniform(-200, 200, 3), tilt @ axes)
    return affine


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.2]))
def test_turning_to_ras_is_what_nibabel_does_and_can_be_undone(seed, slanted):
    affine = random_affine(seed, slanted)
    values = np.random.default_rng(seed).normal(size=(2, 3, 4)).astype(np.float32)
    grid = Grid(values.shape, affine)
    turn = turn_to_ras(grid)
    laid, laid_grid = turn.apply(values), turn.grid(grid)
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine))
    # ours runs along depth (z), height (y), width (x)
    assert np.array_equal(laid, np.asarray(canonical.dataobj).transpose(2, 1, 0))
    assert np.allclose(laid_grid.affine[:, [2, 1, 0, 3]], canonical.affine)
    assert grid.letters == "".join(nibabel.aff2axcodes(affine))
    assert laid_grid.letters == "SAR"
    assert np.array_equal(turn.undo(laid), values)


def test_spacing_room_and_distance_of_a_grid():
    grid = Grid((4, 5, 6), affine_of((3.0, 0.5, 2.0), (1, 2, 3)))
    assert grid.spacing_mm == (3.0, 0.5, 2.0)
    assert grid.voxel_mm3 == pytest.approx(3.0)
    shifted = affine_of((3.0, 0.5, 2.0), (1, 2, 3.25))
    assert grid.apart_mm(Grid((4, 5, 6), shifted)) == pytest.approx(0.25)
    finer = affine_of((3.0, 0.5, 2.1), (1, 2, 3))
    assert grid.apart_mm(Grid((4, 5, 6), finer)) == pytest.approx(0.5)  # at the sixth voxel


def test_lps_is_ras_with_two_axes_turned_around():
    affine = random_affine(3, 0.1)
    places = affine @ [1, 2, 3, 1]
    assert np.allclose(from_lps(affine) @ [1, 2, 3, 1], places * [-1, -1, 1, 1])


def test_a_matrix_without_room_is_refused():
    with pytest.raises(DataError, match="no grid"):
        Grid((2, 2, 2), affine_of((0.0, 1.0, 1.0)))
