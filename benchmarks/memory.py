"""Does a data set larger than memory train and predict in constant memory?

40,000 JPEGs of 224 x 224 (6 GB decoded), made from real photographs by cropping, mirroring and
changing pixels, are trained on and predicted while the process's anonymous memory (RssAnon in
/proc/PID/status: not the pages of mapped files) is sampled. What importing the framework takes is
measured beside it and subtracted.

    python -m benchmarks.memory [--pictures 40000] [--time 90s] [--folder FOLDER]

About a quarter of an hour on two cores. The pictures are kept in FOLDER and made only once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.results import keep

SIDE = 224
CLASSES = ("left", "right")
BAR_GB = 1.5


def photographs() -> list[np.ndarray]:
    """Real photographs: of the data packs where they are, else those of scikit-learn."""
    packs = Path(os.environ.get("VITREOUS_DATA", "../shared/data")) / "imagenet_sample" / "images"
    paths = sorted(packs.glob("*.jpg"))
    if paths:
        return [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return list(load_sample_images().images)


def make_pictures(folder: Path, count: int) -> None:
    """Crops of the photographs; the class says whether the picture was mirrored."""
    sources = photographs()

    def make(number: int) -> None:
        random = np.random.default_rng(number)
        mirrored = number % 2
        path = folder / CLASSES[mirrored] / f"{number:06d}.jpg"
        if path.exists():
            return
        source = sources[random.integers(len(sources))]
        side = int(min(source.shape[:2]) * random.uniform(0.4, 0.95))
        top = random.integers(source.shape[0] - side + 1)
        left = random.integers(source.shape[1] - side + 1)
        crop = Image.fromarray(source[top : top + side, left : left + side])
        pixels = np.asarray(crop.resize((SIDE, SIDE))).astype(np.int16)
        pixels = pixels[:, ::-1] if mirrored else pixels
        changed = pixels * random.uniform(0.6, 1.3) + random.integers(-30, 30, (1, 1, 3))
        noisy = changed + random.normal(0, 6, changed.shape)
        partial = path.with_suffix(".partial")
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(partial, format="JPEG", quality=85)
        partial.rename(path)

    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as threads:
        for _ in threads.map(make, range(count)):
            pass


def anonymous_kb(process: int) -> int:
    """RssAnon of a process in kB; 0 when it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def peak_of(words: list[str]) -> tuple[float, float]:
    """Peak anonymous memory in GB and seconds of a command; its progress is shown."""
    started, peak = time.monotonic(), 0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_kb(process.pid))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(words)} ended with {process.returncode}")
    return peak * 1024 / 1e9, time.monotonic() - started


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=40_000)
    parser.add_argument("--time", default="90s")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-40k")
    options = parser.parse_args()
    print(f"making {options.pictures:,} pictures in {options.folder}", file=sys.stderr)
    make_pictures(options.folder / "data", options.pictures)

    imports = "import vitreous.runs.train, vitreous.runs.predict, time; time.sleep(1)"
    framework, _ = peak_of([sys.executable, "-c", imports])
    vitreous = [sys.executable, "-m", "vitreous"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        size = ["--image-size", str(SIDE), "--time", options.time]
        train, train_s = peak_of(
            [*vitreous, "train", str(options.folder / "data"), *size, "--out", str(run)]
        )
        answers = str(Path(folder) / "answers.csv")
        predict, predict_s = peak_of(
            [*vitreous, "predict", str(run), str(options.folder / "data"), "--out", answers]
        )
    rows = [
        {"what": "framework imported: anonymous GB", "value": round(framework, 2)},
        {
            "what": f"train on {options.pictures:,} of {SIDE} x {SIDE}: anonymous GB beyond it",
            "value": round(train - framework, 2),
            "bar": f"under {BAR_GB}",
        },
        {"what": "train, decoding and scoring included: s", "value": round(train_s)},
        {
            "what": f"predict {options.pictures:,}: anonymous GB beyond it",
            "value": round(predict - framework, 2),
            "bar": f"under {BAR_GB}",
        },
        {"what": "predict: s", "value": round(predict_s)},
    ]
    keep("memory", "Does a data set larger than memory train in constant memory?", rows)


if __name__ == "__main__":
    main()
