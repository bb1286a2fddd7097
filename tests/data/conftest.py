"""Pictures for the tests: parts of a real photograph, so that nothing compresses to nothing."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

PHOTOGRAPH = Image.fromarray(load_sample_image("china.jpg"))


def crop(number: int, size: tuple[int, int] = (24, 32)) -> Image.Image:
    """Part `number` of a photograph, (height, width)."""
    height, width = size
    generator = np.random.default_rng(number)
    left = int(generator.integers(0, PHOTOGRAPH.width - width))
    top = int(generator.integers(0, PHOTOGRAPH.height - height))
    return PHOTOGRAPH.crop((left, top, left + width, top + height))


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """`encode(image, "PNG", ...)`: a picture file's bytes."""

    def encode(image: Image.Image, form: str, **options) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def part() -> Callable[..., Image.Image]:
    """`part(number, size)`: part of a photograph."""
    return crop


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """`plant("cats/1.jpg", "cats/2.png")` writes pictures below a folder and returns the folder."""
    count = iter(range(10_000))

    def plant(*names: str, root: Path = tmp_path / "data", size=(24, 32)) -> Path:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            crop(next(count), size).save(path)
        return root

    return plant


@pytest.fixture
def as_nobody() -> Callable:
    """A context in which permissions count: root may read all, so root steps down."""

    @contextmanager
    def stepped_down() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return stepped_down


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can reach, unlike pytest's own."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
