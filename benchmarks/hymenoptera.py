"""Fine-tuning on few pictures: `vitreous train` and a plain PyTorch loop, from the same weights.

Ants and bees, 244 pictures to train on, 153 to test: the data's `val` folder, which neither looks
at before the end. Each seed gives both the same wall clock, decoding included. The plain loop is
what tutorials on transfer learning teach: ImageFolder and a DataLoader with two workers, crops of
random size and mirroring, SGD with momentum, the rate divided by ten after seven epochs, the best
epoch by a part held out of `train`.

    python -m benchmarks.hymenoptera [--data FOLDER] [--weights FILE] [--seeds 5] [--time 150s]

About six minutes a seed. It stops and goes on: what is done is kept in the folder of --out.
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
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.results import keep
from vitreous.evaluation.compare import compare_paired
from vitreous.networks import find_weights
from vitreous.runs.predict import read_predictions
from vitreous.runs.request import seconds

BAR, LIMIT_S = 0.94, 180
PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
FILE = PACKS / "weights_efficientnet_lite0" / "efficientnet-lite0-57934424.pth"
HELD_OUT = 0.15  # of train, for choosing the epoch: as much as `vitreous train` takes
LONGEST_EPOCHS = 25  # the tutorial's plan


def ours(data: Path, weights: Path, seed: int, allowed: str, folder: Path) -> dict:
    """`vitreous train`, as one types it; wall clock of the whole command."""
    out = folder / f"vitreous-{seed}"
    words = ["train", str(data), "--weights", str(weights), "--time", allowed, "--seed", str(seed)]
    cache = {**os.environ, "VITREOUS_CACHE": tempfile.mkdtemp(dir=folder)}  # decoding is timed, too
    started = time.monotonic()
    call = [sys.executable, "-m", "vitreous", *words, "--out", str(out), "--quiet"]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, env=cache)
    spent = time.monotonic() - started
    rows = read_predictions(out / "predictions.csv")
    answers = {row["sample_id"].split("/", 1)[1]: float(row["p_bees"]) for row in rows}
    return {"answers": answers, "seconds": round(spent, 1)}


def plain(data: Path, weights: Path, seed: int, allowed: str) -> dict:
    """The loop of tutorials; the clock runs from the first line to the last test picture."""
    started = time.monotonic()
    torch.manual_seed(seed)
    found = find_weights(str(weights), None)
    assert found is not None
    assert found.scaling is not None
    network = timm.create_model(found.network.removeprefix("timm:"))
    network.load_state_dict(dict(found.tensors))
    network.reset_classifier(2)
    scale = [transforms.ToTensor(), transforms.Normalize(found.scaling.mean, found.scaling.std)]
    changed = transforms.Compose(
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *scale]
    )
    middle = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *scale])
    rows = np.random.default_rng(seed).permutation(len(ImageFolder(data / "train")))
    cut = round(HELD_OUT * len(rows))
    parts = {
        "train": Subset(ImageFolder(data / "train", changed), rows[cut:].tolist()),
        "held out": Subset(ImageFolder(data / "train", middle), rows[:cut].tolist()),
        "test": ImageFolder(data / "val", middle),
    }
    loaders = {
        name: DataLoader(part, batch_size=4, shuffle=name == "train", num_workers=2)
        for name, part in parts.items()
    }
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, kept, longest = -1.0, network.state_dict(), 0.0
    end = started + seconds(allowed)
    testing_s = 0.0
    for _ in range(LONGEST_EPOCHS):
        begun = time.monotonic()
        if begun + longest + testing_s > end:
            break
        network.train()
        for pictures, truth in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pictures), truth).backward()
            optimizer.step()
        schedule.step()
        watched = time.monotonic()
        answers, truth = answered(network, loaders["held out"])
        testing_s = (time.monotonic() - watched) * len(parts["test"]) / max(1, cut)
        right = float(((answers > 0.5) == truth).mean())
        if right > best:
            best, kept = right, {k: v.clone() for k, v in network.state_dict().items()}
        longest = max(longest, time.monotonic() - begun)
    network.load_state_dict(kept)
    answers, _ = answered(network, loaders["test"])
    paths = [Path(path).relative_to(data / "val").as_posix() for path, _ in parts["test"].samples]
    spent = time.monotonic() - started
    return {
        "answers": dict(zip(paths, answers.tolist(), strict=True)),
        "seconds": round(spent, 1),
    }


@torch.no_grad()
def answered(network: nn.Module, loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the second class (bees), and whether it is that."""
    network.eval()
    pairs = [(network(pictures).softmax(1)[:, 1], truth) for pictures, truth in loader]
    return torch.cat([p for p, _ in pairs]).numpy(), torch.cat([t for _, t in pairs]).numpy() == 1


def measure(options: argparse.Namespace, folder: Path) -> dict[str, dict]:
    """Both on each seed, in turn; what is done already is read."""
    path = folder / "measured.json"
    done: dict[str, dict] = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(options.seeds):
        for name in ("vitreous", "plain"):
            key = f"{name}-{seed}"
            if key in done:
                continue
            print(f"{key} ...", file=sys.stderr, flush=True)
            if name == "vitreous":
                done[key] = ours(options.data, options.weights, seed, options.time, folder)
            else:
                done[key] = plain(options.data, options.weights, seed, options.time)
            path.write_text(json.dumps(done))
    return done


def rows_of(done: dict[str, dict], seeds: int) -> list[dict]:
    """Accuracy by seed, the means, and the difference over pictures, seeds together."""
    names = sorted(done["plain-0"]["answers"])
    truth = np.array([name.startswith("bees") for name in names]).astype(int)
    shares = {
        which: np.array([[done[f"{which}-{s}"]["answers"][n] for n in names] for s in range(seeds)])
        for which in ("vitreous", "plain")
    }
    right = {which: (share > 0.5) == truth for which, share in shares.items()}
    rows = []
    for which, title in (("vitreous", "vitreous train"), ("plain", "plain PyTorch loop")):
        by_seed = right[which].mean(1)
        spent = [done[f"{which}-{s}"]["seconds"] for s in range(seeds)]
        rows.append({
            "what": f"{title}: mean test accuracy",
            "value": round(float(by_seed.mean()), 4),
            "bar": f"at least {BAR}" if which == "vitreous" else None,
            "spread": ", ".join(f"{value:.3f}" for value in by_seed),
            "seconds": f"{min(spent):.0f} to {max(spent):.0f} (under {LIMIT_S})",
        })  # fmt: skip
    # a picture is one group with one answer a seed, so that the interval is over pictures
    first, second = (np.stack([1 - s.ravel(), s.ravel()], 1) for s in
                     (shares["vitreous"], shares["plain"]))  # fmt: skip
    compared = compare_paired(
        np.tile(truth, seeds), first, second, groups=names * seeds,
        names=("vitreous", "the plain loop"),
    )  # fmt: skip
    score = compared.difference
    rows.append({
        "what": "difference in accuracy, paired by seed and picture",
        "value": f"{score.value:+.4f}",
        "bar": "not below 0 by the interval",
        "spread": f"95 % interval over pictures {score.low:+.4f} to {score.high:+.4f}",
    })  # fmt: skip
    return rows


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=PACKS / "hymenoptera")
    parser.add_argument("--weights", type=Path, default=FILE)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--time", default="150s")
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-hymenoptera"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    done = measure(options, options.out)
    keep(
        "hymenoptera",
        "Fine-tuning on 244 pictures: ants and bees from EfficientNet-Lite0's weights",
        rows_of(done, options.seeds),
        f"Both had {options.time} of wall clock a seed, decoding included; scoring and the report "
        "come after it for `vitreous train`, and are in its seconds.",
        command="python -m benchmarks.hymenoptera",
    )


if __name__ == "__main__":
    main()
