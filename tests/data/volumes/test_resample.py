"""Resampling against SimpleITK, which resamples by places in the body as well."""

import numpy as np
import pytest
import SimpleITK as sitk
from tests.made_scans import affine_of, blob, body

from vitreous.data.volumes.grid import Grid, from_lps
from vitreous.data.volumes.resample import resampled, resampled_slabs, spaced


def as_itk(values, grid):
    """An ITK image whose index (x, y, z) is the array's (z, y, x)."""
    image = sitk.GetImageFromArray(values)
    affine = from_lps(grid.affine)
    columns = affine[:3, 2::-1]
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def turned_grid(shape, spacing, degrees, origin):
    angle = np.radians(degrees)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    return Grid(shape, affine_of(spacing, origin, turn))


def inside(values, source, target):
    """Voxels of the target whose place lies within the source's outermost voxels."""
    indices = np.indices(target.shape).reshape(3, -1).T.astype(float)
    places = target.places(indices)
    back = np.linalg.inv(source.affine)
    at = places @ back[:3, :3].T + back[:3, 3]
    good = ((at >= 0.01) & (at <= np.array(source.shape) - 1.01)).all(axis=1)
    return good.reshape(target.shape)


@pytest.mark.parametrize("nearest", [False, True])
def test_values_on_a_turned_shifted_finer_grid_are_simpleitks(nearest):
    values = body((14, 16, 18), 1)
    source = turned_grid((14, 16, 18), (2.0, 1.0, 1.5), 0, (3, -4, 5))
    target = turned_grid((20, 15, 13), (1.3, 0.9, 1.7), 12, (4, -2, 6))
    ours = resampled(values[None], source, target, nearest=nearest)[0]
    how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            as_itk(values, source),
            as_itk(np.zeros(target.shape, np.float32), target),
            sitk.Transform(),
            how,
            0.0,
        )
    )
    good = inside(values, source, target)
    assert good.sum() > 500
    if nearest:
        assert (ours[good] == theirs[good]).mean() > 0.999
    else:
        assert np.abs(ours - theirs)[good].max() < 0.01  # of 1000


def test_a_new_spacing_keeps_the_room_and_comes_back():
    grid = Grid((20, 24, 16), affine_of((1.0, 2.0, 3.0), (7, 8, 9)))
    finer = spaced(grid, (2.0, 1.0, 1.1))
    assert finer.shape == (10, 48, 44)
    assert finer.spacing_mm == pytest.approx((2.0, 1.0, 48 / 44))
    for ends in (np.array([[-0.5] * 3]), np.array([[1.0, 1.0, 1.0]])):
        old = grid.places(ends if (ends < 0).all() else np.array([grid.shape]) - 0.5)
        new = finer.places(ends if (ends < 0).all() else np.array([finer.shape]) - 0.5)
        assert np.allclose(old, new)
    mask = np.uint8(blob(grid.shape, (10, 12, 8), 5))[None]
    there = resampled(mask, grid, finer, nearest=True)
    back = resampled(there, finer, grid, nearest=True)
    dice = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert dice > 0.9
    volume = there.sum() * finer.voxel_mm3
    assert volume == pytest.approx(mask.sum() * grid.voxel_mm3, rel=0.15)


def test_slabs_are_the_whole(monkeypatch):
    values = body((14, 16, 18), 1)[None]
    source = turned_grid((14, 16, 18), (2.0, 1.0, 1.5), 5, (0, 0, 0))
    target = turned_grid((20, 15, 13), (1.3, 0.9, 1.7), 0, (1, 2, 3))
    whole = resampled(values, source, target)
    monkeypatch.setattr("vitreous.data.volumes.resample.SLAB_VOXELS", 600)
    parts = list(resampled_slabs(values, source, target))
    assert len(parts) == 7
    joined = np.concatenate([part for _, part in parts], axis=1)
    assert np.allclose(joined, whole, atol=1e-3)  # of 1000
    assert np.array_equal(resampled(values, source, source), values)


@pytest.mark.parametrize("dust", [-3e-8, 0.0, 3e-8])
def test_the_last_digits_of_a_spacing_make_no_other_grid(dust):
    """280 voxels of 0.6875 mm are 192.5 mm; readers differ in the eighth digit."""
    grid = Grid((22, 320, 280), np.diag([6.5, 0.6875 + dust, 0.6875 + dust, 1.0]))
    assert spaced(grid, (1.0, 1.0, 1.0)).shape == (143, 220, 192)
    grid = Grid((22, 320, 281), np.diag([6.5, 0.6875 + dust, 0.6875 + dust, 1.0]))
    assert spaced(grid, (1.0, 1.0, 1.0)).shape == (143, 220, 193)
