"""Segmentation: streets beside segmentation_models_pytorch's U-Net, and cells of a microscope.

CamVid (the data's own split, 11 classes, scored at 480 x 360): `vitreous train` and a plain PyTorch
loop over segmentation_models_pytorch's U-Net with its encoder, weights and wall clock, decoding
included; then the test part, once. ISBI 2012 (slices 0-23 to learn from, 24-29 to test): ours
alone. A step of both networks on the same batch, timed in turn.

    python -m benchmarks.segmentation [--parts camvid,peer,isbi,steps] [--time 12m]
        [--isbi-time 10m] [--seed 0] [--weights FILE] [--data FOLDER] [--out FOLDER]

About three quarters of an hour. It stops and goes on: what is done is kept in the folder of --out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.results import keep
from vitreous.data.recognise import recognise
from vitreous.evaluation.intervals import bootstrap
from vitreous.evaluation.mask_comparison import compare_masks
from vitreous.evaluation.resampling import grouping, resample
from vitreous.evaluation.weighted import ratio
from vitreous.files import write_json
from vitreous.inference import Compute
from vitreous.networks import build_network, find_weights
from vitreous.runs.request import seconds
from vitreous.tasks import Segment
from vitreous.training.box_recipe import RESTING_STRIDE
from vitreous.training.loop import set_training_mode
from vitreous.training.resting import folded_norms, rest_early_features

PACKS = Path(os.environ.get("VITREOUS_DATA", "../shared/data"))
FILE = PACKS / "weights_efficientnet_lite0" / "efficientnet-lite0-57934424.pth"
CAMVID = ("Sky,Building,Pole,Road,Pavement,Tree,SignSymbol,Fence,Car,Pedestrian,Bicyclist,"
          "Unlabelled")  # fmt: skip
CLASSES = tuple(CAMVID.split(",")[:11])
IGNORE = 255
CROP, BATCH = (288, 384), 8  # of the plain loop
WARM_UP_STEPS = 10  # of it, after which its pace is known
TEST_SLICES = 6
OURS, AS_TRAINED, THEIRS = "vitreous", "vitreous as trained", "segmentation_models_pytorch"
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PATHS = tuple(
    Compute(dtype=dtype, memory_format=layout)
    for dtype in ("float32", "bfloat16") for layout in ("contiguous", "channels_last")
)  # fmt: skip
PARTS = ("camvid", "peer", "isbi", "steps")
MIOU_BAR, CELL_BAR, MEMBRANE_BAR = 0.52, 0.95, 0.80


def vitreous_run(data: Path, words: list[str], out: Path) -> dict:
    """`vitreous train`, as one types it; its scores, and the wall clock of the whole command."""
    shutil.rmtree(out, ignore_errors=True)
    cache = tempfile.mkdtemp(dir=out.parent)  # decoding is timed, too
    started = time.monotonic()
    call = [sys.executable, "-m", "vitreous", "train", str(data), *words, "--out", str(out)]
    subprocess.run([*call, "--quiet"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "VITREOUS_CACHE": cache})  # fmt: skip
    spent = time.monotonic() - started
    shutil.rmtree(cache)
    record = json.loads((out / "run.json").read_text())
    return {
        "evaluation": json.loads((out / "evaluation.json").read_text()),
        "seconds": round(spent, 1),
        "trained": record["seconds"]["prepare"] + record["seconds"]["plan"]
        + record["seconds"]["train"],
        "steps": record["planned_steps"],
        "compute": record["compute"]["dtype"],
        "network": record["network"]["name"],
    }  # fmt: skip


def camvid(options: argparse.Namespace, folder: Path) -> dict:
    """Ours on CamVid; its confusions by picture."""
    words = ["--classes", CAMVID, "--weights", str(options.weights), "--time", options.time,
             "--seed", str(options.seed)]  # fmt: skip
    found = vitreous_run(options.data / "camvid", words, folder / "camvid-run")
    answers = folder / "camvid-run" / "masks"
    found["confusions"] = _confusions(
        options.data, lambda path, _: np.asarray(Image.open((answers / path).with_suffix(".png")))
    )
    return found


def _source(data: Path):
    return recognise(data / "camvid", classes=CAMVID)


def _confusions(data: Path, answer) -> list[list[list[int]]]:
    """A confusion matrix a test picture, of what `answer(path, pixels)` gives."""
    source = _source(data)
    found = []
    for sample in source.samples:
        if sample.split != "test":
            continue
        truth = source.read_mask(sample)
        given = answer(sample.path, source.read(sample, None).pixels)
        found.append(compare_masks(truth, given, 11, borders=False).confusion.tolist())
    return found


def peer(options: argparse.Namespace, folder: Path) -> dict:
    """The plain loop: the clock runs from the first line to the end of training.

    What guides to the library teach: its U-Net as it comes, Adam, Dice loss plus cross-entropy,
    mirrored and scaled crops, a cosine rate, the epoch with the best IoU on the validation part.
    """
    del folder
    started = time.monotonic()
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    network, mean, std = smp_unet(options.weights)
    network.to(memory_format=torch.channels_last)
    pictures, masks = _decoded(options.data)
    end = started + seconds(options.time)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    task = Segment(CLASSES)
    best, kept, steps, pace = -1.0, network.state_dict(), 0, 0.0
    paces: list[float] = []
    validation_s, planned = 0.0, None
    while True:
        order = random.permutation(len(pictures["train"]))
        network.train()
        for rows in np.array_split(order, -(-len(order) // BATCH)):
            begun = time.monotonic()
            if planned is None and steps == WARM_UP_STEPS:
                left = end - begun - 30
                planned = max(20, int(left / median(paces[2:]) * 0.85))
            share = steps / (planned or 1e9)
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * min(1.0, share)))
            inputs, targets = _batch(pictures["train"], masks["train"], rows, random)
            optimizer.zero_grad()
            task.loss(network((inputs / 255 - mean) / std), targets).backward()
            optimizer.step()
            steps += 1
            pace = time.monotonic() - begun
            paces.append(pace)
            if time.monotonic() + validation_s + pace > end:
                break
        watched = time.monotonic()
        confusion = sum(
            compare_masks(mask, _answered(network, picture, mean, std), 11, borders=False).confusion
            for picture, mask in zip(pictures["val"], masks["val"], strict=True)
        )
        validation_s = time.monotonic() - watched
        score = _iou(np.asarray(confusion, float))
        if score > best:
            best, kept = score, {k: v.clone() for k, v in network.state_dict().items()}
        if time.monotonic() + validation_s + pace > end:
            break
    spent = time.monotonic() - started
    network.load_state_dict(kept)
    confusions = _confusions(
        options.data, lambda _, pixels: _answered(network, pixels.transpose(2, 0, 1), mean, std)
    )
    return {"seconds": round(spent, 1), "steps": steps, "val_iou": best, "confusions": confusions}


def smp_unet(weights: Path) -> tuple[nn.Module, Tensor, Tensor]:
    """The library's U-Net on EfficientNet-Lite0, with the weights in its encoder."""
    import segmentation_models_pytorch as smp

    network = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=11)
    found = find_weights(str(weights), None)
    assert found is not None
    assert found.scaling is not None
    own = network.encoder.model.state_dict()
    fitting = {k: v for k, v in found.tensors.items() if k in own and own[k].shape == v.shape}
    missing = [key for key in own if key not in fitting and "num_batches" not in key]
    if missing:
        raise SystemExit(f"{len(missing)} tensors of the encoder without weights: {missing[:3]}")
    network.encoder.model.load_state_dict(fitting, strict=False)
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in
                 (found.scaling.mean, found.scaling.std))  # fmt: skip
    return network, mean, std


def _decoded(data: Path) -> tuple[dict[str, list], dict[str, list]]:
    source = _source(data)
    pictures: dict[str, list] = {"train": [], "val": []}
    masks: dict[str, list] = {"train": [], "val": []}
    for sample in source.samples:
        if sample.split in pictures:
            pictures[sample.split].append(source.read(sample, None).pixels.transpose(2, 0, 1))
            masks[sample.split].append(source.read_mask(sample))
    return pictures, masks


def _batch(pictures, masks, rows, random) -> tuple[Tensor, Tensor]:
    """Crops of pictures scaled by 0.75 to 1.5 and mirrored."""
    inputs, targets = [], []
    for row in rows:
        picture = torch.from_numpy(np.ascontiguousarray(pictures[row])).float()[None]
        mask = torch.from_numpy(masks[row].copy()).float()[None, None]
        scale = random.uniform(0.8, 1.5)
        size = [max(c, round(s * scale)) for c, s in zip(CROP, mask.shape[2:], strict=True)]
        picture = nn.functional.interpolate(picture, size, mode="bilinear")
        mask = nn.functional.interpolate(mask, size, mode="nearest")
        top, left = (random.integers(0, s - c + 1) for s, c in zip(size, CROP, strict=True))
        window = (..., slice(top, top + CROP[0]), slice(left, left + CROP[1]))
        picture, mask = picture[window], mask[window]
        if random.random() < 0.5:
            picture, mask = picture.flip(-1), mask.flip(-1)
        inputs.append(picture[0])
        targets.append(mask[0, 0].to(torch.uint8))
    return torch.stack(inputs), torch.stack(targets)


@torch.no_grad()
def _answered(network: nn.Module, picture: np.ndarray, mean: Tensor, std: Tensor) -> np.ndarray:
    """The likeliest class of each pixel; the picture is padded to a multiple of 32."""
    network.eval()
    inputs = (torch.from_numpy(np.ascontiguousarray(picture))[None].float() / 255 - mean) / std
    height, width = inputs.shape[2:]
    padded = nn.functional.pad(inputs, (0, -width % 32, 0, -height % 32), mode="replicate")
    answer = network(padded)[0, :, :height, :width].argmax(0)
    network.train()
    return answer.numpy().astype(np.uint8)


def _iou(confusion: np.ndarray) -> float:
    hits, both = np.diag(confusion), confusion.sum(0) + confusion.sum(1)
    used = both > 0
    return float((hits[used] / (both - hits)[used]).mean())


def isbi(options: argparse.Namespace, folder: Path) -> dict:
    """Ours on the membranes, the last six slices sealed."""
    data = folder / "isbi"
    for number in range(30):
        part = "test" if number >= 30 - TEST_SLICES else "train"
        for kind, suffix in (("images", ""), ("masks", "annot")):
            target = data / f"{part}{suffix}" / f"{number:02}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(options.data / "isbi2012_em" / kind / f"{number:02}.png", target)
    words = ["--classes", "membrane,cell", "--time", options.isbi_time,
             "--seed", str(options.seed)]  # fmt: skip
    return vitreous_run(data, words, folder / "isbi-run")


def steps(options: argparse.Namespace, folder: Path) -> dict:
    """Milliseconds of forwards, loss and backwards on the same batch, each network in each number
    format and layout, in turn; the median of ten.

    Ours twice: all of it learning, as theirs does; and as its recipe has it, the first layers and
    the norms of the features at rest.
    """
    del folder
    weights = find_weights(str(options.weights), None)
    networks: dict[str, nn.Module] = {
        name: build_network(
            "unet:timm:tf_efficientnet_lite0", (3, *CROP), 11, weights=weights, seed=0
        )
        for name in (OURS, AS_TRAINED)
    }
    networks[THEIRS], *_ = smp_unet(options.weights)
    rest_early_features(networks[AS_TRAINED], RESTING_STRIDE)
    folded = {name: nullcontext() for name in networks}
    folded[AS_TRAINED] = folded_norms(networks[AS_TRAINED])
    inputs = torch.randn(BATCH, 3, *CROP)
    targets = torch.randint(0, 11, (BATCH, *CROP), dtype=torch.uint8)
    task = Segment(CLASSES)

    def step(name: str, compute: Compute) -> float:
        network = compute.place(networks[name])
        set_training_mode(network, name == AS_TRAINED)
        there = inputs.contiguous(memory_format=LAYOUTS[compute.memory_format])
        begun = time.monotonic()
        network.zero_grad(set_to_none=True)
        if name == THEIRS:
            with torch.autocast("cpu", torch.bfloat16, enabled=compute.dtype == "bfloat16"):
                outputs = network(there)
        else:
            with folded[name]:
                outputs = compute.training_forward_of(network)(there)
        task.loss(outputs.float(), targets).backward()
        return time.monotonic() - begun

    times: dict[str, list[float]] = {}
    for turn in range(options.turns + 1):
        for name in networks:
            for compute in PATHS:
                spent = step(name, compute)
                key = f"{name}: {compute.dtype} {compute.memory_format}"
                if turn:
                    times.setdefault(key, []).append(spent)
    return {
        "milliseconds": {name: round(1000 * median(each), 1) for name, each in times.items()},
        "parameters": {
            name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
        },
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, dict]:
    """The parts that are asked for; what is done already is read."""
    path = folder / "measured.json"
    done: dict[str, dict] = json.loads(path.read_text()) if path.exists() else {}
    work = {"camvid": camvid, "peer": peer, "isbi": isbi, "steps": steps}
    for part in options.parts.split(","):
        if part not in done:
            print(f"{part} ...", file=sys.stderr, flush=True)
            done[part] = work[part](options, folder)
            write_json(path, done)
    return done


def rows_of(done: dict[str, dict]) -> list[dict]:
    """A row a figure of what was measured."""
    rows = []
    if "camvid" in done:
        score = done["camvid"]["evaluation"]["metrics"]["iou"]
        rows.append({"what": "CamVid, test mean IoU, ours", "value": round(score["value"], 4),
                     "bar": f"at least {MIOU_BAR}",
                     "spread": f"{score['low']:.3f} to {score['high']:.3f}"})  # fmt: skip
        rows.append({"what": "CamVid, steps, ours", "value": done["camvid"]["steps"]})
    if "peer" in done:
        total = np.sum(done["peer"]["confusions"], axis=0)
        rows.append({"what": "CamVid, test mean IoU, segmentation_models_pytorch's U-Net",
                     "value": round(_iou(total.astype(float)), 4)})  # fmt: skip
        rows.append({"what": "CamVid, steps, segmentation_models_pytorch",
                     "value": done["peer"]["steps"]})  # fmt: skip
    if "camvid" in done and "peer" in done:
        value, low, high = paired(done["camvid"]["confusions"], done["peer"]["confusions"])
        rows.append({"what": "CamVid, difference of the mean IoU, ours minus theirs, paired",
                     "value": round(value, 4), "bar": "not below 0 by its interval",
                     "spread": f"{low:.3f} to {high:.3f}"})  # fmt: skip
    if "isbi" in done:
        for row, bar in zip(done["isbi"]["evaluation"]["per_class"], (MEMBRANE_BAR, CELL_BAR),
                            strict=True):  # fmt: skip
            score = row["dice"]
            rows.append({"what": f"ISBI 2012, Dice of the {row['class']}",
                         "value": round(score["value"], 4), "bar": f"at least {bar}",
                         "spread": f"{score['low']:.3f} to {score['high']:.3f}"})  # fmt: skip
    if "steps" in done:
        found = done["steps"]["milliseconds"]
        best = {who: min(v for k, v in found.items() if k.startswith(f"{who}:"))
                for who in (OURS, AS_TRAINED, THEIRS)}  # fmt: skip
        for who, how in ((OURS, "all of it learning"), (AS_TRAINED, "as the recipe has it")):
            rows.append({
                "what": f"a training step of {BATCH} crops of {CROP[0]} x {CROP[1]}, each in its "
                f"fastest format: ours ({how}) over theirs",
                "value": round(best[who] / best[THEIRS], 3), "bar": "below 1",
                "spread": f"{best[who]:.0f} and {best[THEIRS]:.0f} ms",
            })  # fmt: skip
    return rows


def paired(ours: list, theirs: list) -> tuple[float, float, float]:
    """The difference of two mean IoUs on the same pictures, with its bootstrap interval."""
    both = [np.array(each, float) for each in (ours, theirs)]

    def difference(weights: np.ndarray) -> np.ndarray:
        values = []
        for confusion in both:
            summed = np.einsum("rn,nij->rij", weights, confusion)
            hits = np.diagonal(summed, axis1=1, axis2=2)
            values.append(ratio(hits, summed.sum(1) + summed.sum(2) - hits).mean(axis=1))
        return values[0] - values[1]

    drawn = resample(difference, grouping(None, len(ours)))
    (ends,) = bootstrap(drawn)
    assert ends is not None
    return float(drawn.estimate[0]), float(ends[0]), float(ends[1])


def main() -> None:
    """Measure what is asked for and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--time", default="12m")
    parser.add_argument("--isbi-time", default="10m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--weights", type=Path, default=FILE)
    parser.add_argument("--data", type=Path, default=PACKS)
    parser.add_argument("--no-keep", action="store_true", help="print, and leave the results alone")
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()) / "vitreous-segmentation"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = rows_of(measure(options, options.out))
    if options.no_keep:
        print(json.dumps(rows, indent=1))
        return
    keep(
        "segmentation",
        "How well are streets and cells segmented in the same time as with "
        "segmentation_models_pytorch, and at what cost a step?",
        rows,
        f"CamVid {options.time} and ISBI 2012 {options.isbi_time} of wall clock each, decoding "
        f"included; seed {options.seed}. segmentation_models_pytorch "
        f"{version('segmentation-models-pytorch')}. Parts: {options.parts}.",
    )


if __name__ == "__main__":
    main()
