"""Run folders as training leaves them, with real numbers: scikit-learn's handwritten digits,
answered by logistic regressions. Small enough to make in seconds, real enough to look at."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from scipy.signal import correlate2d
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from vitreous.evaluation.intervals import wilson
from vitreous.insight.filters import Filters
from vitreous.insight.maps import LayerMaps
from vitreous.report.extras import Extras, PictureMaps, picture_bytes

SKIPPED = [
    ("3/0412.png", "truncated: 118 of 241 bytes"),
    ("7/.DS_Store.png", "not a picture"),
    ("9/empty.png", "empty file"),
]
DUPLICATES = [
    {"first": "1/0233.png", "second": "1/1207.png", "similarity": 0.984, "exact": False},
    {"first": "5/0009.png", "second": "5/0688.png", "similarity": 1.0, "exact": True},
]


@dataclass
class Digits:
    """The digits split three ways: pixels (n, 64) in 0..1, truth, ids, part of each."""

    pixels: np.ndarray
    digit: np.ndarray
    ids: list[str]
    part: np.ndarray

    def rows(self, part: str) -> np.ndarray:
        return np.flatnonzero(self.part == part)


def digits() -> Digits:
    images, labels = load_digits(return_X_y=True)
    part = np.random.default_rng(0).choice(
        ["train", "val", "test"], size=len(labels), p=[0.7, 0.1, 0.2]
    )
    ids = [f"{label}/{index:04d}.png" for index, label in enumerate(labels)]
    return Digits(images / 16, labels, ids, part)


def classify_run(folder: Path, classes: int = 10, status: str = "finished") -> Extras:
    """A finished classification with 2, 10 or 120 classes."""
    data = digits()
    names, truth = _labels(data, classes)
    kept = truth >= 0
    train, val, test = (data.rows(part)[kept[data.rows(part)]] for part in ("train", "val", "test"))
    model = LogisticRegression(max_iter=60, tol=1e-2, C=0.3 if classes <= 10 else 3.0)
    model.fit(data.pixels[train], truth[train])
    probabilities = np.zeros((len(test), len(names)))
    probabilities[:, model.classes_] = model.predict_proba(data.pixels[test])
    labels = [names[label] if label >= 0 else None for label in truth]
    _write_run(folder, data, labels, names, "classify", status, val_count=len(val))
    _write_split(folder, data, labels)
    _write_history(folder, data, truth, train, val)
    if status != "finished":
        return _extras(data, [])
    answered = probabilities.argmax(1)
    evaluation = _classify_evaluation(names, truth[test], probabilities, truth[train])
    ids = [data.ids[row] for row in test]
    evaluation["most_wrong"] = _most_wrong(ids, names, truth[test], probabilities)
    evaluation["label_errors"] = [
        {
            "sample_id": row["sample_id"],
            "given": row["truth"],
            "suggested": row["predicted"],
            "score": row["confidence"],
        }
        for row in evaluation["most_wrong"][:6]
    ]
    _write(folder / "evaluation.json", evaluation)
    _write_predictions(
        folder,
        ids,
        [names[label] for label in truth[test]],
        [names[label] for label in answered],
        probabilities.max(1),
    )
    return _extras(data, test)


def multilabel_run(folder: Path) -> Extras:
    """Which of three properties a digit has; some have none."""
    data = digits()
    names = ["even", "has a loop", "large"]
    digit = data.digit
    truth = np.stack([digit % 2 == 0, np.isin(digit, [0, 6, 8, 9]), digit >= 5], axis=1)
    train, test = data.rows("train"), data.rows("test")
    models = [
        LogisticRegression(max_iter=60, C=0.1).fit(data.pixels[train], column)
        for column in truth[train].T
    ]
    probabilities = np.stack([m.predict_proba(data.pixels[test])[:, 1] for m in models], axis=1)

    def joined(rows):
        return ["|".join(np.array(names)[row]) for row in rows]

    _write_run(folder, data, joined(truth), names, "classify-multilabel", "finished", val_count=180)
    _write_split(folder, data, joined(truth))
    _write_history(folder, data, digit, train, data.rows("val"))
    ids = [data.ids[row] for row in test]
    answered = probabilities >= 0.5
    sure = np.where(answered, probabilities, 1 - probabilities).mean(1)
    wrong = sorted(np.flatnonzero((answered != truth[test]).any(1)), key=lambda i: -sure[i])
    _write(
        folder / "evaluation.json",
        {
            **_evaluation_head("classify-multilabel", len(test)),
            "metrics": {
                "mean_average_precision": _score(
                    average_precision_score(truth[test], probabilities), 0.01
                ),
                "auroc": _score(roc_auc_score(truth[test], probabilities), 0.01),
                "macro_f1": _score(f1_score(truth[test], answered, average="macro"), 0.015),
            },
            "per_class": [
                {
                    "class": name,
                    "n": int(truth[test][:, i].sum()),
                    "average_precision": _score(
                        average_precision_score(truth[test][:, i], probabilities[:, i]), 0.02
                    ),
                    "auroc": _score(roc_auc_score(truth[test][:, i], probabilities[:, i]), 0.01),
                }
                for i, name in enumerate(names)
            ],
            "baselines": {
                "class shares": {"mean_average_precision": _score(float(truth.mean()), 0.03)}
            },
            "calibration": _calibration(probabilities.ravel(), truth[test].ravel()),
            "most_wrong": [
                {
                    "sample_id": ids[i],
                    "truth": joined(truth[test])[i],
                    "predicted": joined(answered)[i],
                    "confidence": float(sure[i]),
                }
                for i in wrong[:12]
            ],
            "label_errors": [],
            "warnings": [],
        },
    )
    _write_predictions(folder, ids, joined(truth[test]), joined(answered), sure)
    return _extras(data, test)


def regress_run(folder: Path) -> Extras:
    """The ink in the left half of a digit, told from its right half."""
    data = digits()
    images = data.pixels.reshape(-1, 8, 8)
    ink = images[:, :, :4].sum(axis=(1, 2)) * 3
    train, test = data.rows("train"), data.rows("test")
    right = images[:, :, 4:].reshape(-1, 32)
    predicted = LinearRegression().fit(right[train], ink[train]).predict(right[test])
    _write_run(folder, data, ink, [], "regress", "finished", val_count=180)
    _write_split(folder, data, [f"{value:.3f}" for value in ink])
    _write_history(folder, data, data.digit, train, data.rows("val"), metric="val_mae")
    ids = [data.ids[row] for row in test]
    off = np.abs(predicted - ink[test])
    flat = np.abs(ink[test] - ink[train].mean())
    width = float(np.quantile(off, 0.95))
    mae = {**_score(float(off.mean()), 0.3, "bootstrap", False), "unit": "mg"}
    rmse = {**_score(float(np.sqrt((off**2).mean())), 0.4, "bootstrap", False), "unit": "mg"}
    _write(
        folder / "evaluation.json",
        {
            **_evaluation_head("regress", len(test)),
            "metrics": {
                "mae": mae,
                "rmse": rmse,
                "r2": _score(float(1 - (off**2).sum() / (flat**2).sum()), 0.06),
            },
            "per_class": [],
            "baselines": {
                "mean of the training part": {
                    "mae": {**_score(float(flat.mean()), 0.4, "bootstrap", False), "unit": "mg"}
                }
            },
            "most_wrong": [
                {
                    "sample_id": ids[i],
                    "truth": float(ink[test][i]),
                    "predicted": float(predicted[i]),
                    "confidence": None,
                }
                for i in np.argsort(-off)[:12]
            ],
            "label_errors": [],
            "warnings": [],
        },
    )
    rows = zip(ids, ink[test], predicted, predicted - width, predicted + width, strict=True)
    _write_table(
        folder / "predictions.csv", ["sample_id", "truth", "predicted", "low", "high"], rows
    )
    return _extras(data, test)


def rename_class(folder: Path, old: str, new: str) -> None:
    """Give a class another name in every file of the run, as if the data had it."""
    for path in folder.iterdir():
        if path.suffix == ".json":
            _write(path, _renamed(json.loads(path.read_text()), old, new))
        elif path.name in ("split.csv", "predictions.csv"):
            with path.open(newline="") as file:
                rows = [[new if cell == old else cell for cell in row] for row in csv.reader(file)]
            _write_table(path, rows[0], rows[1:])


def _renamed(value, old, new):
    if isinstance(value, dict):
        return {(new if key == old else key): _renamed(v, old, new) for key, v in value.items()}
    if isinstance(value, list):
        return [_renamed(one, old, new) for one in value]
    return new if value == old else value


def _labels(data: Digits, classes: int) -> tuple[list[str], np.ndarray]:
    if classes == 2:
        place = {3: 0, 8: 1}
        return ["three", "eight"], np.array([place.get(int(d), -1) for d in data.digit])
    if classes == 10:
        return [str(d) for d in range(10)], data.digit
    of_each = classes // 10  # kinds of handwriting of each digit
    truth = np.zeros(len(data.digit), dtype=int)
    for digit in range(10):
        rows = np.flatnonzero(data.digit == digit)
        kinds = KMeans(of_each, n_init=1, max_iter=10, random_state=0)
        truth[rows] = digit * of_each + kinds.fit_predict(data.pixels[rows])
    return [f"{d}, hand {k + 1}" for d in range(10) for k in range(of_each)], truth


def _classify_evaluation(names, truth, probabilities, train_truth) -> dict:
    answered, everyone = probabilities.argmax(1), np.arange(len(names))
    right = int((answered == truth).sum())
    low, high = wilson(right, len(truth))
    most = np.bincount(train_truth[train_truth >= 0]).argmax()
    frequent = int((truth == most).sum())
    clipped = np.clip(probabilities, 1e-9, 1)
    clipped /= clipped.sum(1, keepdims=True)
    precision, recall, f1, n = precision_recall_fscore_support(
        truth, answered, labels=everyone, zero_division=0
    )
    share = right / len(truth)
    weaker = max(0.0, share - 0.024)
    with_positives = [c for c in everyone if (truth == c).any()]
    auroc = np.mean([roc_auc_score(truth == c, probabilities[:, c]) for c in with_positives])
    return {
        **_evaluation_head("classify", len(truth)),
        "metrics": {
            "accuracy": _ends(share, low, high, "Wilson"),
            "balanced_accuracy": _score(float(recall[n > 0].mean()), 0.013),
            "macro_f1": _score(float(f1[n > 0].mean()), 0.014),
            "auroc": _score(float(auroc), 0.0008),
            "log_loss": {
                **_score(log_loss(truth, clipped, labels=everyone), 0.03, "bootstrap", False),
                "unit": "nats",
            },
            "ece": {
                **_score(0.0213, 0, "no interval: chance lifts it", False),
                "low": None,
                "high": None,
                "by_chance": 0.0187,
            },
        },
        "per_class": [
            {
                "class": name,
                "n": int(n[i]),
                "precision": float(precision[i]),
                "recall": _ends(recall[i], *wilson(recall[i] * n[i], max(1, n[i])), "Wilson"),
                "f1": float(f1[i]),
            }
            for i, name in enumerate(names)
        ],
        "baselines": {
            "majority class": {
                "accuracy": _ends(frequent / len(truth), *wilson(frequent, len(truth)), "Wilson"),
                "balanced_accuracy": _score(1 / len(names), 0.0),
            },
            "logistic regression on 16x16 thumbnails": {
                "accuracy": _ends(weaker, *wilson(weaker * len(truth), len(truth)), "Wilson"),
                "balanced_accuracy": _score(max(0.0, share - 0.027), 0.018),
            },
        },
        "confusion": {
            "classes": names,
            "matrix": confusion_matrix(truth, answered, labels=everyone).tolist(),
        },
        "calibration": _calibration(probabilities.max(1), answered == truth),
        "warnings": ["class '8' has 31 test pictures: its own figures are uncertain"],
    }


def _evaluation_head(task: str, n: int) -> dict:
    head = {"format": 1, "name": "test", "split": "test", "task": task}
    return {**head, "n": n, "n_groups": None}


def _score(value: float, half: float, method: str = "bootstrap over samples", higher=True) -> dict:
    return _ends(
        value,
        max(0.0, value - half),
        value + half if not higher else min(1.0, value + half),
        method,
        higher,
    )


def _ends(value, low, high, method, higher=True) -> dict:
    return {
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "level": 0.95,
        "method": method,
        "higher_is_better": higher,
        "unit": None,
    }


def _calibration(confidence: np.ndarray, right: np.ndarray) -> dict:
    bins = []
    for low in np.arange(0, 1, 0.1):
        inside = (confidence >= low) & (confidence < low + 0.1 + (low > 0.85))
        bins.append(
            {
                "low": float(low),
                "high": float(low + 0.1),
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean()) if inside.any() else None,
                "accuracy": float(right[inside].mean()) if inside.any() else None,
            }
        )
    return {"temperature": 1.31, "ece_before": 0.034, "ece_after": 0.0213, "bins": bins}


def _most_wrong(ids, names, truth, probabilities) -> list[dict]:
    answered, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = sorted(np.flatnonzero(answered != truth), key=lambda i: -sure[i])
    return [
        {
            "sample_id": ids[i],
            "truth": names[truth[i]],
            "predicted": names[answered[i]],
            "confidence": float(sure[i]),
        }
        for i in wrong[:24]
    ]


def _write_run(folder, data, labels, names, task, status, val_count) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = {"classify": "class", "classify-multilabel": "classes", "regress": "number"}[task]
    metric = {"classify": "val_accuracy", "regress": "val_mae"}.get(task, "val_auroc")
    _write(
        folder / "run.json",
        {
            "format": 1,
            "status": status,
            "task": task,
            "signal": "image",
            "classes": names,
            "unit": "mg" if task == "regress" else None,
            "data": {
                "root": "/home/maria/study/digits",
                "recognised_as": "class folders",
                "why": "10 folders of pictures, each named after a class",
                "fingerprint": "9f3a5c0e77d1b2a4c6e8f00112233445",
                "label_kind": kind,
                "split_how": "made here: 70/10/20, stratified by class, seed 0",
                "group": None,
                "counts": {},
                "skipped": [{"path": path, "reason": reason} for path, reason in SKIPPED],
                "duplicates": {"exact": 1, "near": 1, "pairs": DUPLICATES},
                "pixel_format": {"height": 8, "width": 8, "channels": 1},
                "warnings": [],
            },
            "network": {
                "name": "lenet5",
                "features": "LeNet features",
                "head": "three dense layers",
                "input": {"channels": 1, "height": 32, "width": 32},
                "outputs": max(1, len(names)),
                "parameters": 61706,
                "scaling": {"mean": [0.305], "std": [0.376]},
                "weights": "none",
                "weights_licence": None,
                "weights_seen": None,
            },
            "recipe": {
                "epochs": 20,
                "batch_size": 64,
                "learning_rate": 0.002,
                "weight_decay": 0.05,
                "label_smoothing": 0.05,
                "ema_decay": 0.998,
                "augmentation": {"flip": False, "shift": 0.1, "rotate_degrees": 10.0},
                "balance": "none",
            },
            "compute": {
                "device": "cpu",
                "dtype": "float32",
                "memory_format": "contiguous",
                "compiled": False,
                "threads": 2,
                "why": "fastest of 3 measured: 8,120 pictures a second",
            },
            "planned_steps": 400,
            "seed": 0,
            "best": {"epoch": 14, "step": 280, "metric": metric, "value": 0.9722},
            "versions": {"vitreous": "0.1.0", "python": "3.11.2", "torch": "2.11.0"},
            "hardware": {"processor": "x86-64", "cores": 2, "memory_gb": 24.0, "gpu": None},
            "command": "vitreous train ~/study/digits --seed 0 --out runs/digits",
            "seconds": {"total": 41.2, "cache": 1.9, "train": 33.4, "evaluate": 4.1},
            "started": "2026-03-02T09:14:05+01:00",
        },
    )


def _write_split(folder: Path, data: Digits, labels) -> None:
    rows = [
        (data.ids[i], data.ids[i], data.part[i], label, "", "")
        for i, label in enumerate(labels)
        if label is not None
    ]
    rows += [(path, path, "skipped", "", "", reason) for path, reason in SKIPPED]
    columns = ["sample_id", "path", "split", "label", "group", "reason"]
    _write_table(folder / "split.csv", columns, rows)


def _write_history(folder, data, truth, train, val, metric: str = "val_accuracy") -> None:
    """Real curves: a linear classifier trained by stochastic gradients, epoch by epoch."""
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01, random_state=0)
    classes, rows = np.unique(truth[train]), []
    val = val[np.isin(truth[val], classes)]
    for epoch in range(1, 21):
        model.partial_fit(data.pixels[train], truth[train], classes=classes)
        losses = [
            log_loss(truth[part], model.predict_proba(data.pixels[part]), labels=classes)
            for part in (train, val)
        ]
        rate = 0.002 * (1 + np.cos(np.pi * epoch / 20)) / 2
        score = model.score(data.pixels[val], truth[val])
        score = (1 - score) * 20 if metric == "val_mae" else score
        rows.append((20 * epoch, epoch, 1.7 * epoch, rate, *losses, score))
    columns = ["step", "epoch", "seconds", "lr", "train_loss", "val_loss", metric]
    _write_table(folder / "history.csv", columns, rows)
    best = (min if metric == "val_mae" else max)(rows, key=lambda row: row[-1])
    run = json.loads((folder / "run.json").read_text())
    run["best"] = {"epoch": best[1], "step": best[0], "metric": metric, "value": best[-1]}
    _write(folder / "run.json", run)


def _write_predictions(folder, ids, truth, answered, confidence) -> None:
    columns = ["sample_id", "truth", "predicted", "confidence"]
    rows = zip(ids, truth, answered, confidence, strict=True)
    _write_table(folder / "predictions.csv", columns, rows)


def _extras(data: Digits, test) -> Extras:
    """Pictures of the test part, kernels learned from the digits (principal parts of patches),
    and what they make of three pictures."""
    images = data.pixels.reshape(-1, 8, 8)
    kernels = _kernels(images)
    pictures = {data.ids[i]: _png(images[i]) for i in test}
    maps = []
    for i in list(test)[:3]:
        large = np.kron(images[i], np.ones((4, 4)))
        first = np.stack([correlate2d(large, k[0], "same") for k in kernels])
        pooled = np.maximum(first, 0).reshape(6, 16, 2, 16, 2).max(axis=(2, 4))
        layers = (
            LayerMaps("features.convolution_1", first.astype(np.float32), 1),
            LayerMaps("features, map 1", pooled.astype(np.float32), 2),
        )
        maps.append(PictureMaps(data.ids[i], _png(images[i]), layers))
    return Extras(pictures, Filters("features.convolution_1", kernels), maps, lenet_table())


def _kernels(images: np.ndarray) -> np.ndarray:
    patches = np.concatenate(
        [images[:300, i : i + 5, j : j + 5].reshape(-1, 25) for i in range(4) for j in range(4)]
    )
    parts = np.linalg.svd(patches - patches.mean(0), full_matrices=False)[2][:6]
    return parts.reshape(6, 1, 5, 5)


def lenet_table() -> list[dict]:
    """LeNet-5's operations, counted by hand."""
    rows = [
        ("features.convolution_1", "convolution", [6, 28, 28], [5, 5], [1, 1], 156, 117600, [5, 5]),
        ("features.pooling_1", "average pooling", [6, 14, 14], [2, 2], [2, 2], 0, 0, [6, 6]),
        (
            "features.convolution_2",
            "convolution",
            [16, 10, 10],
            [5, 5],
            [1, 1],
            2416,
            240000,
            [14, 14],
        ),
        ("features.pooling_2", "average pooling", [16, 5, 5], [2, 2], [2, 2], 0, 0, [16, 16]),
        ("head.dense_1", "linear", [120], None, None, 48120, 48000, [32, 32]),
        ("head.dense_2", "linear", [84], None, None, 10164, 10080, [32, 32]),
        ("head.dense_3", "linear", [10], None, None, 850, 840, [32, 32]),
    ]
    keys = ("name", "operation", "output_shape", "kernel", "stride", "parameters")
    return [
        dict(zip((*keys, "multiply_adds", "receptive_field"), row, strict=True)) for row in rows
    ]


def _png(image: np.ndarray) -> bytes:
    return picture_bytes(np.rint(255 * image).astype(np.uint8)[None])


def photograph(seed: int = 0) -> bytes:
    """A large noisy picture as JPEG: the hardest case for the report's size."""
    noise = np.random.default_rng(seed).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _write(path: Path, value) -> None:
    path.write_text(json.dumps(value))


def _write_table(path: Path, columns, rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


fabricate = SimpleNamespace(
    classify=classify_run,
    multilabel=multilabel_run,
    regress=regress_run,
    rename_class=rename_class,
    photograph=photograph,
    lenet_table=lenet_table,
)
