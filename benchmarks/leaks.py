"""Does the leak check find copies, and leave different pictures alone? How long does it take?

Plants changed copies of real pictures (copied, encoded again, resized, both) and counts how many
pairs (original, copy) are found; then looks at the real data as it is, where pairs of different
labels are surely false. CIFAR-10 (32x32 colour), Fashion-MNIST (28x28 grey, many look-alikes),
handwritten digits (8x8), photographs of ants and bees stored at 128x128.

    python -m benchmarks.leaks [--data ../shared/data] [--only NAME]

Writes benchmarks/results/leaks.json. Half a minute on two free cores.
"""

import argparse
import gzip
import io
import resource
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.results import keep
from vitreous.data.leaks import clusters, find_duplicates
from vitreous.data.transforms import letterbox

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
PLANTED_A_KIND = 2000


@dataclass
class Pictures:
    """Pixels uint8 (n, channels, height, width), a label and a side for each."""

    pixels: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray


@dataclass
class Result:
    """What was found in one data set."""

    name: str
    pictures: int
    recall: dict[str, float] = field(default_factory=dict)  # kind of change -> share found
    pairs: int = 0
    exact: int = 0
    across: int = 0  # pairs with one picture in train and one in test
    test_pictures: int = 0  # test pictures with a copy in train
    label_differs: int = 0
    label_differs_across: int = 0
    largest_cluster: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_memory_mb: int = 0  # of the process so far, the pictures themselves included


def cifar10(data: Path) -> Pictures:
    pixels, labels, is_test = [], [], []
    with tarfile.open(data / "cifar10" / "cifar10_jpeg.tar.gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                side, label, _ = member.name.split("/")
                pixels.append(simplejpeg.decode_jpeg(content.read(), "RGB"))
                labels.append(label)
                is_test.append(side == "test")
    stacked = np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2))
    return Pictures(stacked, np.array(labels), np.array(is_test))


def fashion_mnist(data: Path) -> Pictures:
    def read(name: str, offset: int) -> np.ndarray:
        content = gzip.decompress((data / "fashion_mnist" / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=offset)

    pixels = [read(f"{part}-images-idx3-ubyte.gz", 16) for part in ("train", "t10k")]
    labels = [read(f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k")]
    stacked = np.concatenate(pixels).reshape(-1, 1, 28, 28)
    return Pictures(stacked, np.concatenate(labels), np.arange(len(stacked)) >= 60_000)


def digits(_: Path) -> Pictures:
    found = load_digits()
    pixels = (found.images * 255 / 16).round().astype(np.uint8)[:, None]
    return Pictures(pixels, found.target, np.arange(len(pixels)) >= 1200)


def hymenoptera(data: Path) -> Pictures:
    files = sorted((data / "hymenoptera").rglob("*.jpg"))
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    stacked = np.stack([letterbox(pixels, (128, 128)) for pixels in pictures])
    labels = np.array([path.parent.name for path in files])
    is_test = np.array([path.parent.parent.name == "val" for path in files])
    return Pictures(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)), labels, is_test)


DATA_SETS: dict[str, Callable[[Path], Pictures]] = {
    "CIFAR-10": cifar10,
    "Fashion-MNIST": fashion_mnist,
    "digits 8x8": digits,
    "hymenoptera 128x128": hymenoptera,
}


def encoded_again(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=70)
    return Image.open(content)


def resized(image: Image.Image, random: np.random.Generator) -> Image.Image:
    factor = random.uniform(0.8, 1.2)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, FILTERS[random.integers(3)])


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "copy": lambda image, _: image,
    "JPEG q70": lambda image, _: encoded_again(image),
    "resized 0.8-1.2": resized,
    "resized, JPEG q70": lambda image, random: encoded_again(resized(image, random)),
}


def changed(picture: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """A copy (c, h, w) as the cache would store it."""
    grey = picture.shape[0] == 1
    image = Image.fromarray(picture[0] if grey else picture.transpose(1, 2, 0))
    pixels = np.asarray(CHANGES[kind](image, random))
    pixels = pixels[:, :, None] if grey else pixels
    return letterbox(pixels, picture.shape[1:]).transpose(2, 0, 1)


def recall(pictures: Pictures, kind: str, random: np.random.Generator) -> float:
    """Share of planted copies found, the copies lying among all other pictures' like."""
    n = min(PLANTED_A_KIND, len(pictures.pixels))
    chosen = np.sort(random.choice(len(pictures.pixels), n, replace=False))
    originals = pictures.pixels[chosen]
    copies = np.stack([changed(picture, kind, random) for picture in originals])
    side = np.arange(2 * n) >= n
    found = find_duplicates(np.concatenate([originals, copies]), np.arange(2 * n), across=side)
    pairs = {(pair.first, pair.second) for pair in found}
    return sum((i, n + i) in pairs for i in range(n)) / n


def measure(name: str, pictures: Pictures) -> Result:
    random = np.random.default_rng(0)
    result = Result(name, len(pictures.pixels))
    result.recall = {kind: recall(pictures, kind, random) for kind in CHANGES}
    wall, processor = time.perf_counter(), time.process_time()
    found = find_duplicates(pictures.pixels, np.arange(len(pictures.pixels)))
    result.seconds = time.perf_counter() - wall
    result.processor_seconds = time.process_time() - processor
    first = np.array([pair.first for pair in found], int)
    second = np.array([pair.second for pair in found], int)
    differs = pictures.labels[first] != pictures.labels[second]
    across = pictures.is_test[first] != pictures.is_test[second]
    in_test = np.where(pictures.is_test[first], first, second)[across]
    result.pairs, result.exact = len(found), sum(pair.exact for pair in found)
    result.across, result.test_pictures = int(across.sum()), len(np.unique(in_test))
    result.label_differs = int(differs.sum())
    result.label_differs_across = int((differs & across).sum())
    result.largest_cluster = max(map(len, clusters(found)), default=0)
    result.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def show(result: Result) -> None:
    print(
        f"\n{result.name}: {result.pictures:,} pictures, all pairs, in {result.seconds:.1f} s "
        f"({result.processor_seconds:.1f} processor seconds, peak {result.peak_memory_mb} MB)"
    )
    for kind, share in result.recall.items():
        print(f"  planted, {kind:<18} {share:7.2%} found")
    print(f"  as it is: {result.pairs} pairs ({result.exact} exact), {result.label_differs} of "
          f"different labels; across train and test {result.across} ({result.test_pictures} test "
          f"pictures), {result.label_differs_across} of different labels; "
          f"largest cluster {result.largest_cluster}")  # fmt: skip


def rows_of(result: Result) -> list[dict[str, Any]]:
    name = result.name
    rows: list[dict[str, Any]] = [
        {"what": f"{name}: planted copies found, {kind}", "value": round(share, 4), "bar": 0.99}
        for kind, share in result.recall.items()
    ]
    seconds = {"what": f"{name}: seconds for all pairs", "value": round(result.seconds, 1)}
    differs = {
        "what": f"{name}: test pictures flagged with a train picture of another label (pairs)",
        "value": result.label_differs_across,
    }
    if result.name == "CIFAR-10":
        seconds["bar"] = 60
        differs["bar"] = 10
    return [
        *rows,
        {"what": f"{name}: pictures", "value": result.pictures},
        {"what": f"{name}: pairs flagged as it is", "value": result.pairs},
        {"what": f"{name}: of them exact", "value": result.exact},
        {"what": f"{name}: of them with different labels", "value": result.label_differs},
        {"what": f"{name}: test pictures with a copy in train", "value": result.test_pictures},
        differs,
        {"what": f"{name}: pictures in the largest cluster", "value": result.largest_cluster},
        seconds,
        {"what": f"{name}: processor seconds", "value": round(result.processor_seconds, 1)},
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parents[1]
    arguments.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    arguments.add_argument("--only", choices=DATA_SETS, action="append")
    options = arguments.parse_args()
    rows = []
    for name in options.only or DATA_SETS:
        result = measure(name, DATA_SETS[name](options.data))
        show(result)
        rows += rows_of(result)
    keep("leaks", "Does the leak check find copies, and leave different pictures alone?", rows)


if __name__ == "__main__":
    main()
