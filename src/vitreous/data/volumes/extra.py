"""The libraries of the extra `medical`, imported where they are needed."""

import importlib
from types import ModuleType

from vitreous.errors import RequestError


def needed(library: str) -> ModuleType:
    """A library of the extra. Raises `RequestError` that says what to install."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] != library.split(".")[0]:
            raise
        raise RequestError(
            f"medical scans need {library.split('.')[0]}: pip install 'vitreous[medical]'"
        ) from None
