"""Pictures with boxes as a detector sees them: their size, and where the boxes lie in it."""

from collections.abc import Sequence

from numpy.typing import NDArray

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.cache import PixelFormat, choose_format
from vitreous.data.geometry import Size, fit, place_boxes
from vitreous.data.samples import Sample, Source
from vitreous.errors import DataError

LONGEST_SIDE = 320  # pixels that a detector sees, where nothing else is asked for


def box_format(source: Source, longer_side: int | None = None) -> PixelFormat:
    """The size in which pictures with boxes are kept: their shape, at most so long.

    Things of a few pixels are lost in small pictures; time goes with the square of the side.
    Raises `DataError` where no picture can be read.
    """
    chosen = choose_format(source, largest=longer_side or LONGEST_SIDE)
    asked = "" if longer_side is None else "; the longer side as --image-size asks"
    return PixelFormat(chosen.size, chosen.channels, f"{chosen.why}{asked}")


def true_boxes(sample: Sample) -> Boxes:
    """A sample's boxes. Raises `DataError` where its label is of another kind."""
    if not isinstance(sample.label, Boxes):
        raise DataError(f"{sample.path}: has no boxes for a label")
    return sample.label


def boxes_as_seen(samples: Sequence[Sample], sizes: NDArray, seen: Size) -> list[Boxes]:
    """The samples' boxes in letterboxed pictures of size `seen`; `sizes` (n, 2) are those of the
    pictures. Unusable pictures, whose size is 0, keep theirs: nobody looks at them.
    """
    labels = []
    for sample, (height, width) in zip(samples, sizes, strict=True):
        boxes = true_boxes(sample)
        if height and width:
            boxes = place_boxes(fit((int(height), int(width)), seen), boxes, least_visible=0.0)
        labels.append(boxes)
    return labels
