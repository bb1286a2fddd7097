"""Large JPEGs decoded, made small and augmented: pictures a second, beside torchvision.

4,000 JPEGs of 1600 x 1200 (about half a megabyte each), cut from enlarged real photographs with
the noise of a camera. Ours is what a training does in its first epoch: the key of the data, the
cache built by two threads, and an epoch of augmented batches; and, beside it, a later epoch, which
reads the cache. torchvision's is a DataLoader with 2 worker processes and its v2 transforms, as its
training references have them. All take turns on parts of the pictures.

    python -m benchmarks.decode [--pictures 4000] [--parts 16] [--folder FOLDER]

Pictures and the parts that were measured are kept in FOLDER: a run that was stopped goes on.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import simplejpeg
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.results import keep
from vitreous.data.augmentation import default_augmentation
from vitreous.data.cache import PixelFormat, open_cache
from vitreous.data.recognise import recognise
from vitreous.data.samples import Source
from vitreous.data.transforms import Scaling
from vitreous.files import write_json
from vitreous.training.batches import TrainingData, batches

HEIGHT, WIDTH, SIDE, BATCH = 1200, 1600, 224, 32
BAR = 1.5
NORMALISE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def make_pictures(folder: Path, count: int) -> None:
    """Windows of enlarged photographs; two classes, as a training needs them."""
    packs = Path(os.environ.get("VITREOUS_DATA", "../shared/data")) / "imagenet_sample" / "images"
    paths = sorted(packs.glob("*.jpg"))[:40]
    photographs = [Image.open(path).convert("RGB") for path in paths] or [
        Image.fromarray(picture) for picture in load_sample_images().images
    ]
    noisy = np.empty((0, 0, 3), np.uint8)
    for number in range(count):
        if number % max(1, count // len(photographs)) == 0 or number == 0:
            source = photographs[number * len(photographs) // count]
            large = np.asarray(source.resize((WIDTH + 200, HEIGHT + 200), Image.Resampling.BICUBIC))
            noise = np.random.default_rng(number).normal(0, 7, large.shape)
            noisy = (large + noise).clip(0, 255).astype(np.uint8)
        path = folder / f"{number % 2}" / f"{number:05d}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        top, left = np.random.default_rng([1, number]).integers(0, 200, 2)
        window = np.ascontiguousarray(noisy[top : top + HEIGHT, left : left + WIDTH])
        partial = path.with_suffix(".partial")
        partial.write_bytes(simplejpeg.encode_jpeg(window, 85, colorsubsampling="420"))
        partial.rename(path)


def ours(paths: list[Path], folder: Path) -> tuple[float, float]:
    """Seconds of the first epoch, from the files on, and of a second one."""
    started = time.monotonic()
    source: Source = recognise(folder)
    cache_folder = Path(tempfile.mkdtemp(prefix="decode-", dir=folder.parent))
    try:
        cache = open_cache(source, PixelFormat((SIDE, SIDE), 3), folder=cache_folder)
        rows = np.flatnonzero(cache.usable)
        assert len(rows) == len(paths)
        targets = torch.zeros(len(rows), dtype=torch.int64)
        data = TrainingData(cache.pixels, targets, rows, rows, Scaling((0.5,) * 3, (0.25,) * 3))
        ends = [started]
        for epoch in range(2):
            recipe = default_augmentation(3, SIDE, SIDE)
            made = batches(data, batch_size=BATCH, seed=0, epoch=epoch, augmentation=recipe)
            assert sum(len(batch.pixels) for batch in made) == len(paths)
            ends.append(time.monotonic())
    finally:
        shutil.rmtree(cache_folder)
    return ends[1] - ends[0], ends[2] - ends[1]


class Files(Dataset):
    """Files as torchvision's ImageFolder reads them: Pillow, whole, in colour."""

    def __init__(self, paths: list[Path], transform: Callable) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with self.paths[row].open("rb") as file:
            return self.transform(Image.open(file).convert("RGB"))


TORCHVISION = {
    "RandomResizedCrop, flip": [v2.RandomResizedCrop(SIDE), v2.RandomHorizontalFlip()],
    "Resize, then shift, zoom, light, flip": [
        v2.Resize((SIDE * HEIGHT // WIDTH, SIDE)),
        v2.Pad((0, (SIDE - SIDE * HEIGHT // WIDTH) // 2)),
        v2.RandomAffine([0, 0], translate=(0.08, 0.08), scale=(0.87, 1.15)),
        v2.ColorJitter(brightness=0.1, contrast=0.15),
        v2.RandomHorizontalFlip(),
    ],
}


def torchvisions(paths: list[Path], transforms: list) -> float:
    """Seconds of one epoch of a DataLoader with two worker processes."""
    ending = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*NORMALISE)]
    started = time.monotonic()
    data = Files(paths, v2.Compose([*transforms, *ending]))
    seen = sum(len(batch) for batch in DataLoader(data, BATCH, shuffle=True, num_workers=2))
    assert seen == len(paths)
    return time.monotonic() - started


def measure_part(paths: list[Path], folder: Path) -> dict[str, float]:
    """Pictures a second of every way, on one part of the pictures."""
    linked = Path(tempfile.mkdtemp(prefix="part-", dir=folder)) / "data"
    for path in paths:
        (linked / path.parent.name).mkdir(parents=True, exist_ok=True)
        (linked / path.parent.name / path.name).hardlink_to(path)
    try:
        first, second = ours(paths, linked)
        found = {"ours, first epoch": first, "ours, a later epoch": second}
        found |= {name: torchvisions(paths, steps) for name, steps in TORCHVISION.items()}
    finally:
        shutil.rmtree(linked.parent)
    return {name: len(paths) / seconds for name, seconds in found.items()}


def main() -> None:
    """Measure the parts that are not measured yet, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-large-jpegs"
    )
    options = parser.parse_args()
    print(f"making {options.pictures:,} pictures in {options.folder}", file=sys.stderr)
    make_pictures(options.folder / "data", options.pictures)
    paths = sorted((options.folder / "data").glob("*/*.jpg"))[: options.pictures]
    done_path = options.folder / f"parts-{options.pictures}-{options.parts}.json"
    done = json.loads(done_path.read_text()) if done_path.exists() else []
    for number in range(len(done), options.parts):
        done.append(measure_part(paths[number :: options.parts], options.folder))
        write_json(done_path, done)
        print({name: round(value, 1) for name, value in done[-1].items()}, file=sys.stderr)
    size = median(path.stat().st_size for path in paths)
    rows = []
    for name in done[0]:
        pace = np.array([part[name] for part in done])
        what = f"{name}: pictures a second"
        rows.append({"what": what, "value": round(float(np.median(pace)), 1),
                     "spread": _spread(pace)})  # fmt: skip
    for name in TORCHVISION:
        ratio = np.array([part["ours, first epoch"] / part[name] for part in done])
        rows.append({"what": f"ours, first epoch, to torchvision's {name}: ratio",
                     "value": round(float(np.median(ratio)), 2), "spread": _spread(ratio),
                     "bar": f"at least {BAR}"})  # fmt: skip
    notes = (
        f"{len(paths):,} JPEGs of {WIDTH} x {HEIGHT}, median {size / 1000:.0f} kB, in "
        f"{len(done)} parts, the ways in turn on each; medians over the parts, spread: quartiles"
    )
    keep("decode", "How fast are large JPEGs decoded and augmented?", rows, notes)


def _spread(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.25, 0.75])
    return f"{low:.3g} to {high:.3g}"


if __name__ == "__main__":
    main()
