"""A run in bfloat16 from end to end: the record, the answers, going on, later data."""

import re

import pytest
from safetensors.torch import load_file

from vitreous.errors import RequestError
from vitreous.runs.evaluate import evaluate
from vitreous.runs.predict import predict, read_predictions
from vitreous.runs.record import RunRecord
from vitreous.runs.run import Run
from vitreous.runs.train import train


@pytest.fixture(scope="module")
def bfloat16_run(digits, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("compute") / "run"
    return train(
        digits, network="resnet", epochs=3, precision="bfloat16", compile="no", out=folder,
        quiet=True,
    )  # fmt: skip


def test_the_path_is_recorded_and_weights_stay_float32(bfloat16_run):
    compute = RunRecord.read(bfloat16_run.folder).compute
    assert (compute["dtype"], compute["memory_format"]) == ("bfloat16", "channels_last")
    assert compute["timings"] == {}
    weights = load_file(bfloat16_run.folder / "network.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.float32", "torch.int64"}


def test_predict_and_evaluate_answer_as_the_run_did(bfloat16_run, digits):
    loaded = Run.load(bfloat16_run.folder)
    rows = read_predictions(bfloat16_run.folder / "predictions.csv")
    answers = predict(loaded, [digits / row["sample_id"] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        assert answer.confidence == pytest.approx(float(row["confidence"]), abs=2e-3)
    evaluate(loaded, digits, name="again", quiet=True)
    again = read_predictions(loaded.folder / "predictions-again.csv")
    confidence = {row["sample_id"]: float(row["confidence"]) for row in again}
    for row in rows:
        assert confidence[row["sample_id"]] == pytest.approx(float(row["confidence"]), abs=2e-3)


def test_unknown_choices_are_said_in_one_line(digits):
    with pytest.raises(RequestError, match=r"unknown precision 'float8'.*bfloat16"):
        train(digits, precision="float8", quiet=True)
    with pytest.raises(RequestError, match=r"unknown compile 'maybe'"):
        train(digits, compile="maybe", quiet=True)


def test_the_wait_for_pictures_is_told(digits, tmp_path, capsys):
    run = train(digits, network="lenet5", epochs=1, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert re.search(r"\d+\.\d% of the training time was spent waiting for pictures", said)
    seconds = run.record.seconds
    assert 0 < seconds["waiting_for_pictures"] < seconds["train"]
