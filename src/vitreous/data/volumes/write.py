"""Answers written back into a scan's own geometry: NIfTI, and how large each structure is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.volumes.extra import needed
from vitreous.data.volumes.grid import Grid, turn_to_ras
from vitreous.data.volumes.scans import NIFTI, Scan, volume_suffix
from vitreous.errors import RequestError
from vitreous.files import atomic_path


@dataclass(frozen=True)
class Amount:
    """How much there is of one structure in one scan."""

    structure: str
    voxels: int
    mm3: float

    @property
    def ml(self) -> float:
        """Millilitres (cubic centimetres)."""
        return self.mm3 / 1000


def amounts(mask: NDArray[np.uint8], grid: Grid, classes: Sequence[str]) -> list[Amount]:
    """The room that each class but the first takes, by its voxels on the scan's own grid."""
    counts = np.bincount(mask.ravel(), minlength=256)
    return [
        Amount(name, int(counts[place]), float(counts[place] * grid.voxel_mm3))
        for place, name in enumerate(classes)
        if place > 0
    ]


def write_nifti_mask(path: Path, mask: NDArray[np.uint8], scan: Scan) -> None:
    """Write classes (depth, height, width), turned to RAS as the scan was, on the scan's own grid.

    Of a NIfTI scan the file has the scan's axes and affine; of others the axes in the order that
    NIfTI has them (columns, rows, slices). The header is new: nothing of the scan's own text is in
    it. Raises `RequestError` where the mask does not fit the scan.
    """
    nibabel = needed("nibabel")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise RequestError(f"{path}: call it .nii.gz")
    stored = as_stored(mask, scan)
    affine = scan.header.grid.affine.copy()
    if volume_suffix(scan.files[0]) not in NIFTI:
        stored = stored.transpose(2, 1, 0)
        affine[:, :3] = affine[:, 2::-1]
    image = nibabel.Nifti1Image(np.ascontiguousarray(stored), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"vitreous"
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    with atomic_path(path) as partial:
        # nibabel knows the format by the name's end
        whole = partial.with_name(partial.name + ("".join(Path(path.name).suffixes[-2:])))
        try:
            image.to_filename(whole)
            whole.replace(partial)
        finally:
            whole.unlink(missing_ok=True)


def as_stored(mask: NDArray[np.uint8], scan: Scan) -> NDArray[np.uint8]:
    """A mask (depth, height, width) along the scan file's own axes."""
    grid = scan.header.grid
    stored = turn_to_ras(grid).undo(mask)
    if stored.shape != grid.shape:
        raise RequestError(
            f"{scan.path}: a mask of {stored.shape} voxels for a scan of {grid.shape}; bring it to "
            "the scan's grid first"
        )
    return stored
