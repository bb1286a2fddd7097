import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import TensorDataset

import vitreous
from vitreous.errors import DataError, RequestError
from vitreous.runs.record import RunRecord
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.train import train

from .conftest import digit_pictures, write_digits


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_has_every_file_of_the_contract(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {
        "run.json", "split.csv", "network.safetensors", "last.safetensors", "last.json",
        "history.csv", "evaluation.json", "predictions.csv", "report.html", "report.json",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(".")]
    assert run.record.status == "finished"


def test_every_file_of_the_data_is_in_the_split_table(run, digits):
    rows = rows_of(run.folder / "split.csv")
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(digits).as_posix() for path in digits.rglob("*.png")
    )
    skipped = [row for row in rows if row["split"] == "skipped"]
    assert [row["path"] for row in skipped] == ["0/broken.png"]
    assert skipped[0]["reason"].startswith("not a picture")
    counts = Counter(row["split"] for row in rows)
    assert counts["train"] > counts["val"] > 5
    assert counts["test"] > 5
    recorded = run.record.data.counts
    for split in ("train", "val", "test"):
        assert sum(recorded[split].values()) == counts[split]


def test_the_scores_are_those_of_the_answers_on_the_test_part(run):
    answers = rows_of(run.folder / "predictions.csv")
    split = {row["sample_id"]: row for row in rows_of(run.folder / "split.csv")}
    assert {split[row["sample_id"]]["split"] for row in answers} == {"test"}
    assert all(split[row["sample_id"]]["label"] == row["truth"] for row in answers)
    right = np.mean([row["truth"] == row["predicted"] for row in answers])
    accuracy = run.evaluation["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(right)
    assert accuracy["low"] < right <= accuracy["high"]
    assert right > run.evaluation["baselines"]["majority class"]["accuracy"]["value"]
    for row in answers:
        shares = [float(row[f"p_{name}"]) for name in run.record.classes]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert max(shares) == pytest.approx(float(row["confidence"]))


def test_history_has_a_row_an_epoch(run):
    history = rows_of(run.folder / "history.csv")
    assert [int(row["epoch"]) for row in history] == list(range(1, len(history) + 1))
    assert int(history[-1]["step"]) == run.record.planned_steps
    best = run.record.best
    assert float(history[best["epoch"] - 1]["val_accuracy"]) == pytest.approx(best["value"])


def test_the_learning_is_kept_in_small_snapshots(run):
    paths = sorted((run.folder / "snapshots").iterdir())
    assert [path.name for path in paths[:2]] == ["epoch-0001.safetensors", "epoch-0002.safetensors"]
    first, last = load_file(paths[0]), load_file(paths[-1])
    assert first.keys() == last.keys()
    assert first["kernels"].shape == (6, 1, 5, 5)
    assert not torch.equal(first["kernels"], last["kernels"])
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    maps = [value for name, value in first.items() if name.startswith("map.")]
    assert len(maps) == 4
    assert all(torch.isfinite(value).all() for value in maps)


def test_run_json_goes_to_dataclasses_and_back(run, tmp_path):
    record = RunRecord.read(run.folder)
    record.write(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text()) == json.loads(
        (run.folder / "run.json").read_text()
    )
    assert TrainRequest.from_json(record.request).network == "lenet5"


def test_a_loaded_run_answers_as_the_trained_one(run):
    again = Run.load(run.folder)
    state, other = run.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in state.items())
    assert "accuracy" in again._repr_html_()


def test_the_same_seed_gives_the_same_run(digits, run, tmp_path):
    again = train(digits, network="lenet5", epochs=12, out=tmp_path / "again", quiet=True)
    for name in ("predictions.csv", "split.csv"):
        assert (again.folder / name).read_text() == (run.folder / name).read_text()


def test_a_run_is_never_overwritten(digits, run):
    with pytest.raises(RequestError, match="is not empty; choose another --out"):
        train(digits, out=run.folder, quiet=True)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match=r"not a run \(it has no run\.json\)"):
        Run.load(tmp_path)


def test_a_run_of_a_newer_format_is_refused(run, tmp_path):
    value = json.loads((run.folder / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**value, "format": 99}))
    with pytest.raises(DataError, match="format 99 is not 1"):
        Run.load(tmp_path)


def test_too_many_bad_files_stop_it_and_are_counted(tmp_path):
    folder = write_digits(tmp_path / "digits", labels=range(2))
    for number in range(4):
        (folder / "0" / f"bad{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"4 of 52 files cannot be used \(7\.7%\)"):
        train(folder, epochs=1, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    run = train(folder, epochs=1, max_skipped=0.1, out=tmp_path / "run", quiet=True)
    assert run.record.data.counts["skipped"] == 4


def test_groups_stay_on_one_side_and_intervals_are_over_groups(tmp_path):
    for label in range(2):
        for number, picture in enumerate(digit_pictures(label, 60)):
            path = tmp_path / "data" / str(label) / f"patient{number % 15:02d}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    run = train(
        tmp_path / "data", group=r"(patient\d+)", epochs=3, out=tmp_path / "run", quiet=True
    )
    sides: dict[str, set[str]] = {}
    for row in rows_of(run.folder / "split.csv"):
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 15
    assert all(len(found) == 1 for found in sides.values())
    assert run.evaluation["n_groups"] == sum(found == {"test"} for found in sides.values())


def table_of(folder: Path, header: str, lines) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def test_several_labels_a_picture(tmp_path):
    lines = []
    for label, names in ((0, "round|closed"), (1, "straight"), (8, "closed"), (6, "round")):
        for number, picture in enumerate(digit_pictures(label, 30)):
            name = f"{label}-{number}.png"
            tmp_path.joinpath("data").mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "data" / name)
            lines.append(f"{name},{names}")
    run = train(
        table_of(tmp_path / "data", "path,label", lines),
        network="lenet5", epochs=15, out=tmp_path / "run", quiet=True,
    )  # fmt: skip
    assert run.record.task == "classify-multilabel"
    assert run.record.classes == ["closed", "round", "straight"]
    metrics = run.evaluation["metrics"]
    assert metrics["mean_average_precision"]["value"] > 0.7
    answer = next(iter(run.predict(tmp_path / "data" / "0-3.png")))
    assert set(str(answer.predicted).split("|")) <= set(run.record.classes)
    assert "report" in (run.folder / "report.html").read_text()


def test_a_number_a_picture(tmp_path):
    lines = []
    (tmp_path / "data").mkdir()
    for label in range(4):
        for number, picture in enumerate(digit_pictures(label, 40)):
            name = f"{label}-{number}.png"
            Image.fromarray(picture).save(tmp_path / "data" / name)
            lines.append(f"{name},{picture.mean() / 10:.3f}")  # how much ink there is
    run = train(
        table_of(tmp_path / "data", "path,ink", lines),
        task="regress", label="ink", network="lenet5", epochs=25, out=tmp_path / "run", quiet=True,
    )  # fmt: skip
    assert run.record.task == "regress"
    metrics, baseline = run.evaluation["metrics"], run.evaluation["baselines"]
    assert metrics["mae"]["value"] < next(iter(baseline.values()))["mae"]["value"]
    rows = rows_of(run.folder / "predictions.csv")
    inside = [float(r["low"]) <= float(r["truth"]) <= float(r["high"]) for r in rows]
    assert np.mean(inside) > 0.7
    answer = next(iter(Run.load(run.folder).predict(tmp_path / "data" / "0-3.png")))
    assert answer.value == pytest.approx(float(next(
        float(r["predicted"]) for r in [*rows, {"sample_id": "0-3.png", "predicted": answer.value}]
        if r["sample_id"] == "0-3.png")), abs=0.05)  # fmt: skip


def test_arrays_and_datasets_take_the_same_way(tmp_path):
    pixels = np.concatenate([digit_pictures(label) for label in range(3)])
    labels = np.repeat([0, 1, 2], 24)
    run = vitreous.train(
        vitreous.from_arrays(pixels, labels), epochs=2, out=tmp_path / "arrays", quiet=True
    )
    assert run.evaluation["n"] > 5
    dataset = TensorDataset(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels))
    run = vitreous.train(
        vitreous.from_dataset(dataset), epochs=2, out=tmp_path / "dataset", quiet=True
    )
    assert run.evaluation["n"] > 5


def test_the_users_own_modules(digits, tmp_path):
    def own():
        features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
        return vitreous.Network.of(features, head, (1, 32, 32))

    run = train(digits, network=own(), epochs=2, out=tmp_path / "own", quiet=True)
    assert run.record.network["name"] == "own"
    with pytest.raises(RequestError, match=r"pass it: Run\.load"):
        Run.load(run.folder).network  # noqa: B018
    loaded = Run.load(run.folder, network=own())
    probability = next(iter(loaded.predict(digits / "1" / "003.png"))).confidence
    assert probability == next(iter(run.predict(digits / "1" / "003.png"))).confidence


def test_unequal_classes_are_noticed_said_and_met(tmp_path, capsys):
    folder = write_digits(tmp_path / "data", labels=[0], count=90)
    write_digits(tmp_path / "more", labels=[1], count=20)
    (tmp_path / "more" / "1").rename(folder / "1")
    run = train(folder, network="lenet5", epochs=4, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert "classes are unequal" in said
    assert run.record.recipe["balance"] in {"none", "loss", "sampling"}
    assert run.record.best["metric"] == "val_balanced_accuracy"


def test_the_plan_fits_the_time(digits, tmp_path):
    run = train(digits, network="lenet5", time="6s", out=tmp_path / "run", quiet=True)
    assert run.record.planned_steps > 1
    assert any("as measured to fit into" in note for note in run.record.notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 1, "time": "1m"}, "give one of them"),
        ({"time": "1 minute"}, "write it as 90s, 10m or 1h30m"),
        ({"epochs": 0}, "at least one epoch"),
        ({"network": "lenet6"}, "did you mean 'lenet5'"),
        ({"balance": "los"}, "did you mean 'loss'"),
        ({"weights": "imagenet", "network": "lenet5"}, "there are none of lenet5; use --network"),
        ({"device": "gpu7"}, "use cpu, cuda"),
        ({"log": "wandb"}, "Known: tensorboard"),
        ({"seed": -1}, "whole number from 0"),
        ({"batch_size": 0}, "--batch-size 0: use at least 1"),
        ({"image_size": 0}, "--image-size 0: use at least 1"),
        ({"learning_rate": -1.0}, "use a number above 0"),
        ({"out": __file__}, "is a file; choose another --out"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(digits, tmp_path, settings, said):
    with pytest.raises(RequestError, match=said) as caught:
        train(digits, quiet=True, **{"out": tmp_path / "run", "epochs": None, **settings})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_curves(digits, tmp_path):
    pytest.importorskip("tensorboard")
    run = train(digits, network="lenet5", epochs=2, log="tensorboard", out=tmp_path / "run",
                quiet=True)  # fmt: skip
    assert list((run.folder / "tensorboard").glob("events*"))


def test_a_run_killed_before_its_first_step_starts_from_the_same_weights(
    digits, run, tmp_path, monkeypatch
):
    from vitreous.runs import train as module

    def killed(*_):
        raise SystemError("killed")

    monkeypatch.setattr(module, "fit", killed)
    with pytest.raises(SystemError):
        train(digits, network="lenet5", epochs=12, out=tmp_path / "run", quiet=True)
    monkeypatch.undo()
    torch.manual_seed(987)
    resumed = train(resume=tmp_path / "run", quiet=True)
    whole, other = load_file(run.folder / "network.safetensors"), resumed.network.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.items())


def test_resume_refuses_new_settings_by_name(run):
    with pytest.raises(RequestError, match="leave out --epochs, --seed"):
        train(resume=run.folder, epochs=3, seed=1, quiet=True)


def test_a_raised_limit_of_pixels_reads_what_was_skipped(tmp_path):
    folder = write_digits(tmp_path / "digits", labels=range(2))
    for path in (folder / "1").iterdir():
        Image.open(path).resize((64, 64)).save(path)
    with pytest.raises(DataError, match="more than --max-skipped"):
        train(folder, epochs=1, max_pixels=2000, out=tmp_path / "run", quiet=True)
    assert train(folder, epochs=1, out=tmp_path / "run", quiet=True).record.data.counts[
        "skipped"
    ] == 0  # fmt: skip


def test_few_groups_of_a_number_fill_every_part_or_are_refused(tmp_path):
    lines = []
    (tmp_path / "data").mkdir()
    for number, picture in enumerate(digit_pictures(0, 60)):
        Image.fromarray(picture).save(tmp_path / "data" / f"{number}.png")
        lines.append(f"{number}.png,{number % 6}.5,patient{number % 6}")
    data = table_of(tmp_path / "data", "path,label,patient", lines)
    run = train(data, task="regress", group="patient", epochs=2, out=tmp_path / "run", quiet=True)
    counts = run.record.data.counts
    assert min(counts["train"], counts["val"], counts["test"]) >= 10
    history = rows_of(run.folder / "history.csv")
    assert history[0]["val_r2"] == ""  # one number in validation: undefined, and said so


def test_a_network_that_nothing_can_be_shown_of_still_trains(digits, tmp_path):
    class Odd(nn.Module):
        """Its way depends on the input, a convolution never runs, two layers share weights."""

        def __init__(self):
            super().__init__()
            self.features = nn.ModuleList([nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 5)])
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, inputs):
            maps = self.features[0](inputs).mean((2, 3))
            return self.second(self.first(maps)) if maps.sum() > -1e9 else maps

    run = train(digits, network=Odd(), epochs=2, out=tmp_path / "odd", quiet=True)
    assert run.record.status == "finished"
    assert (run.folder / "report.html").exists()
