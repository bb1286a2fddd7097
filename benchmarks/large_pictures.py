"""Pictures that are too large for one look: memory by windows, and tiled beside whole answers.

A TIFF of 10,000 x 10,000 pixels is segmented by windows in a process of its own, whose anonymous
memory is watched. And 2,048 x 2,048 pixels are answered by tiles and at once, by a network that
reaches less far than the tiles' margin.

    python -m benchmarks.large_pictures [--side 10000] [--data FOLDER]

About four minutes on two cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.results import keep
from benchmarks.tiled_tiff import write_tiled_tiff
from vitreous.data.transforms import Scaling
from vitreous.data.windows import WholePicture
from vitreous.inference import Compute
from vitreous.inference.dense import coarsest_stride, logit_slabs
from vitreous.inference.tiling import Tiling, tiling_for
from vitreous.insight.receptive_fields import receptive_fields
from vitreous.networks import build_network
from vitreous.networks.features.unet import UNetPlan
from vitreous.networks.graph import capture

PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
SIDE, TILED_SIDE = 10_000, 2048
CLASSES = 3
MEMORY_BAR_GB = 1.0
FLOAT_ERROR = 1e-5  # of the largest logit: sums in float32 in another order

LARGE = """
import sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from PIL import Image
from vitreous.data.cache import PixelFormat
from vitreous.data.transforms import Scaling
from vitreous.data.windows import open_windows
from vitreous.inference import Compute, Views
from vitreous.networks import build_network
from vitreous.runs.predict_masks import answer_picture

seen, stop = [], threading.Event()

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e6

def watch():
    while not stop.wait(0.02):
        seen.append(anonymous())

before = anonymous()
run = SimpleNamespace(
    pixel_format=PixelFormat((256, 256), 3, scale=1.0), scaling=Scaling((0.5,) * 3, (0.25,) * 3),
    record=SimpleNamespace(classes=[f"c{i}" for i in range(int(sys.argv[3]))]),
    views=Views(), temperature=1.0)
network = build_network("unet:timm:tf_efficientnet_lite0", (3, 256, 256), int(sys.argv[3]), seed=0)
thread = threading.Thread(target=watch, daemon=True)
thread.start()
begun = time.monotonic()
picture = open_windows(Path(sys.argv[1]), "large.tif", 3)
found = answer_picture(run, network.eval(), Compute(), picture, "large.tif")
Image.fromarray(found.mask).save(sys.argv[2])
spent = time.monotonic() - begun
stop.set(); thread.join()
print(round(max(seen) - before, 3), round(spent, 1), found.mask.shape)
"""


def large(data: Path, folder: Path, side: int) -> dict:
    """Gigabytes of anonymous memory and seconds for a TIFF of `side` x `side` pixels."""
    path = folder / "large.tif"
    photo = np.asarray(Image.open(next((data / "camvid" / "test").glob("*.jpg"))))
    height, width = photo.shape[:2]

    def read(top: int, left: int, bottom: int, right: int) -> np.ndarray:
        rows, columns = np.arange(top, bottom) % height, np.arange(left, right) % width
        return photo[rows[:, None], columns]

    write_tiled_tiff(path, (side, side), read, tile=512, deflate=True)
    call = [sys.executable, "-c", LARGE, str(path), str(folder / "large.png"), str(CLASSES)]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    gigabytes, spent, *_ = done.stdout.split()
    return {"gigabytes": float(gigabytes), "seconds": float(spent), "side": side}


def tiled(data: Path, side: int) -> dict:
    """Streets side by side, by tiles and at once: the largest difference of logits."""
    pixels, size = side_by_side(data, side), (side, side)
    plan = UNetPlan.halving(2, (16, 32, 64))
    network = build_network("unet", (3, 64, 64), 11, plan=plan, seed=0).eval()
    multiple = coarsest_stride(network)
    tiling = tiling_for(size, multiple, weights="uniform")
    picture, scaling = WholePicture(pixels), Scaling((0.5,) * 3, (0.25,) * 3)
    answers, spent = [], []
    for each in (Tiling(size, (0, 0), multiple, "uniform"), tiling):
        started = time.monotonic()
        slabs = logit_slabs(network, picture, scaling, Compute(), tiling=each)
        answers.append(torch.cat([values for _, values in slabs], dim=1))
        spent.append(time.monotonic() - started)
    whole, by_tiles = answers
    return {
        "reach": reach_of(network),
        "margin": min(tiling.margin),
        "difference": float((by_tiles - whole).abs().max()),
        "largest": float(whole.abs().max()),
        "of another class": int((by_tiles.argmax(0) != whole.argmax(0)).sum()),
        "seconds": spent,
    }


def side_by_side(data: Path, side: int) -> np.ndarray:
    """Test pictures of CamVid in rows, uint8 (3, side, side)."""
    paths = sorted((data / "camvid" / "test").glob("*.jpg"))[::8]
    photos = [np.asarray(Image.open(path)) for path in paths]
    height, width = photos[0].shape[:2]
    across, down = -(-side // width), -(-side // height)
    chosen = [photos[number % len(photos)] for number in range(across * down)]
    rows = [np.concatenate(chosen[row * across : (row + 1) * across], axis=1)
            for row in range(down)]  # fmt: skip
    return np.concatenate(rows)[:side, :side].transpose(2, 0, 1)


def reach_of(network: torch.nn.Module, side: int = 256) -> int:
    """Pixels that a cell of the answer sees beyond its own place, by arithmetic; the most."""
    graph = capture(network, torch.zeros(1, 3, side, side))
    field = receptive_fields(graph)[graph.outputs[0]]
    boxes = [(place, field.box((0, 0, place, place))) for place in range(side)]
    return max(max(place - box[0][0], box[0][1] - place) for place, box in boxes if box)


def rows_of(memory: dict, halves: dict) -> list[dict]:
    """Both answers as they are kept."""
    side = memory["side"]
    whole_s, tiled_s = halves["seconds"]
    return [
        {
            "what": f"a TIFF of {side:,} x {side:,} pixels by windows: anonymous memory beyond the "
            "framework's, GB",
            "value": memory["gigabytes"],
            "bar": f"below {MEMORY_BAR_GB:g}",
            "spread": f"in {memory['seconds']:.0f} s",
        },
        {
            "what": f"{TILED_SIDE:,} x {TILED_SIDE:,} pixels by tiles and at once, by a U-Net that "
            f"reaches {halves['reach']} pixels, margins of {halves['margin']}, uniform weights: "
            "largest difference of logits, as a share of the largest logit",
            "value": float(f"{halves['difference'] / halves['largest']:.2g}"),
            "bar": f"at most {FLOAT_ERROR:g}",
            "spread": f"{halves['of another class']} pixels of another class; {tiled_s:.1f} s by "
            f"tiles, {whole_s:.1f} s at once",
        },
    ]


def main() -> None:
    """Measure both and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--data", type=Path, default=PACKS)
    parser.add_argument("--no-keep", action="store_true", help="print, and leave the results alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(large(options.data, Path(folder), options.side),
                       tiled(options.data, TILED_SIDE))  # fmt: skip
    if options.no_keep:
        print(json.dumps(rows, indent=1))
        return
    keep(
        "large_pictures",
        "In how much memory are large pictures segmented, and are tiled answers whole ones?",
        rows,
        "The memory is that of a process of its own, watched every 20 ms, less what it had after "
        "its imports.",
    )


if __name__ == "__main__":
    main()
