"""JSON files of labels, read with care: their size, their depth, and what stands where."""

import json
from pathlib import Path
from typing import Any

from vitreous.data.pictures import read_file
from vitreous.errors import DataError

LARGEST_FILE = 1_000_000_000  # bytes: COCO's largest has about half of it, and needs 5 GB of memory


def read_label_json(path: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file; `name` is the path that messages show.

    Raises `DataError`: not found, too large to be held in memory, broken, or no object.
    """
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # reading it says why
    if size > LARGEST_FILE:
        raise DataError(
            f"{name}: {size:,} bytes, more than {LARGEST_FILE:,}: divide it, a file a part"
        )
    content = read_file(path, name)
    try:
        value = json.loads(content)
    except RecursionError:
        raise DataError(f"{name}: nested too deeply to be a file of labels") from None
    except ValueError as error:
        raise DataError(f"{name}: not readable as JSON ({error}); make it again") from None
    if not isinstance(value, dict):
        raise DataError(f"{name}: holds a {type(value).__name__}, not an object with images")
    return value
