"""`explain` on scans with masks: one voxel's answer, seen in the piece of the scan about it."""

from collections.abc import Iterable, Iterator

import numpy as np

from vitreous.data.volumes.store import as_planned
from vitreous.errors import DataError, VitreousError
from vitreous.insight.attribution import PixelOf
from vitreous.runs.explain_places import AskedPlace, PlacedSample
from vitreous.runs.predict_volumes import FoundScan, scans_below
from vitreous.runs.run import Run
from vitreous.runs.scan_pieces import piece_about, piece_size
from vitreous.runs.volumes import plan_of


def placed_scans(
    run: Run, inputs: Iterable[str], place: AskedPlace
) -> Iterator[tuple[str, PlacedSample | VitreousError]]:
    """Each scan's piece about the voxel; what has no such voxel is the error that says so."""
    for found in scans_below(inputs):
        try:
            yield found.name, _voxel_in(run, found, place)
        except VitreousError as error:
            yield found.name, error


def _voxel_in(run: Run, found: FoundScan, asked: AskedPlace) -> PlacedSample:
    assert asked.voxel is not None
    if found.volumes is None or found.sample is None:
        raise DataError(found.error or f"{found.name}: no scan")
    x, y, z = asked.voxel
    volume = found.volumes.read(found.sample)
    depth, height, width = volume.grid.shape
    if not (0 <= x < width and 0 <= y < height and 0 <= z < depth):
        raise DataError(
            f"{found.name}: --voxel {x},{y},{z} is outside of it; it has {width} x {height} x "
            f"{depth} voxels (to the right, the front and the head), from 0,0,0"
        )
    plan = plan_of(run.record.data)
    values, grid = as_planned(volume, plan, found.name)
    there = volume.grid.places(np.array([[z, y, x]]))[0]
    own = np.linalg.inv(grid.affine) @ [*there, 1.0]
    point = [
        min(max(round(float(at)), 0), side - 1)
        for at, side in zip(own[:3], grid.shape, strict=True)
    ]
    size = piece_size(run)
    piece, start = piece_about(values, (point[0], point[1], point[2]), size)
    slice_, row, column = (at - begin for at, begin in zip(point, start, strict=True))
    return PlacedSample(
        name=found.name,
        pixels=piece,
        place=PixelOf((slice_, row, column)),
        mark=(column, row, column + 1, row + 1),
        words=f"voxel {x}, {y}, {z}",
        facts={
            "voxel": [x, y, z],
            "place_mm": [round(float(at), 3) for at in there],
            "seen": {"start": list(start), "size": list(size), "spacing_mm": list(grid.spacing_mm)},
        },
        shown=size,
        voxel=(slice_, row, column),
    )
