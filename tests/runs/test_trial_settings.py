"""What is done to trials on the way to a network is kept with a run and done to later ones."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.recording_files import write_fif, write_subjects

from vitreous import EEGClassifier
from vitreous.cli.compare import compare
from vitreous.data.recordings import RecordingSettings
from vitreous.data.recordings.read import read_recordings
from vitreous.errors import RequestError
from vitreous.files import read_json
from vitreous.inference import Views
from vitreous.inference.views import averaged
from vitreous.networks import build_network
from vitreous.runs.evaluate import answers_for, evaluate
from vitreous.runs.predict import predict
from vitreous.runs.run import Run
from vitreous.runs.study import Study
from vitreous.runs.talk import Talk
from vitreous.runs.train import train
from vitreous.runs.training_data import RunData
from vitreous.runs.trial_start import settle_norms, start_from_csp
from vitreous.training.batches import TrainingData

from .test_estimator import planted
from .test_recordings import small

PLAIN = {"precision": "float32", "compile": "no", "quiet": True}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    return write_subjects(tmp_path_factory.mktemp("data") / "bids", 3, rhythm=25.0, seconds=40.0)


@pytest.fixture(scope="module")
def study(subjects, tmp_path_factory) -> Study:
    """All of it together: transductive alignment, crops, moving standardisation."""
    out = tmp_path_factory.mktemp("runs") / "study"
    return train(subjects, network=small(), epochs=6, protocol="across-subjects", out=out,
                 align="transductive", crop=0.6, moving_standardisation=True, **PLAIN)  # fmt: skip


def member(study: Study, fold: int) -> Run:
    return Run.load(study.folder / f"fold-{fold}-seed-0", small())


def test_the_answers_of_a_run_come_again_from_its_folder(study, subjects):
    for fold in range(3):
        name = f"sub-0{fold + 1}"
        run = member(study, fold)
        with (run.folder / "predictions.csv").open(newline="") as file:
            sealed = {row["sample_id"]: float(row["p_left"]) for row in csv.DictReader(file)}
        recording = subjects / name / "eeg" / f"{name}_task-x_eeg.fif"
        found = {one.onset_s: one.probabilities[0] for one in predict(run, [recording])}
        assert len(sealed) == 26
        for sample_id, share in sealed.items():
            onset = float(sample_id.split("#")[1])
            assert found[onset] == pytest.approx(share, abs=1e-5)


def test_what_saw_test_trials_says_so_in_every_result(study, tmp_path):
    assert any("transductive: that of 3 groups" in said for said in study.evaluation["warnings"])
    for fold in range(3):
        warnings = read_json(member(study, fold).folder / "evaluation.json")["warnings"]
        said = f"transductive: that of sub-0{fold + 1} was fitted on the test trials"
        assert any(said in warning for warning in warnings)
    later = write_fif(tmp_path / "sub-09_task-x_eeg.fif", seconds=40.0, rhythm=25.0, seed=9)
    scores = evaluate(member(study, 0), later, quiet=True)
    assert any("transductive" in warning for warning in scores["warnings"])


def test_a_studys_table_comparison_and_later_scores_say_that_it_is_transductive(
    study, subjects, capsys
):
    with (study.folder / "results.csv").open(newline="") as file:
        decoders = {row["pipeline"] for row in csv.DictReader(file)}
    assert f"{study.record['network']} (transductive)" in decoders
    compare(study.folder, study.folder)
    said = capsys.readouterr()
    assert said.err.count("transductive: that of 3 groups (sub-01, sub-02, sub-03)") == 2
    assert "transductive" not in said.out
    together = [member(study, fold) for fold in range(3)]
    _, warnings = answers_for(together[0], subjects, group=None, max_skipped=1.0, device=None,
                              talk=Talk(quiet=True), together=together)  # fmt: skip
    assert any("transductive: that of sub-01, sub-02, sub-03 was fitted" in w for w in warnings)


def test_the_network_sees_aligned_standardised_pieces(study):
    data = RunData.open(member(study, 1))
    inputs = data.inputs(np.arange(3))
    assert inputs.shape == (3, 1, 10, 60)
    assert study.record["data"]["trials"]["unit"] == ""
    facts = [sample.group for sample in data.samples]
    for name in ("sub-01", "sub-02", "sub-03"):  # the tested one by its own trials
        rows = [row for row, group in enumerate(facts) if group == name]
        trials = data.cache.pixels[rows, 0].astype(np.float64)
        mean = np.mean([trial @ trial.T / trial.shape[1] for trial in trials], axis=0)
        np.testing.assert_allclose(mean, np.eye(10), atol=1e-3)
    card = member(study, 1).record.network
    assert card["input"] == {"channels": 1, "height": 10, "width": 60}


def test_alignment_by_training_trials_alone_is_not_transductive(subjects, tmp_path):
    run = train(subjects, network=small(), epochs=1, out=tmp_path / "a", align="training", **PLAIN)
    assert not any("transductive" in said for said in run.evaluation["warnings"])
    data = RunData.open(Run.load(run.folder, small()))
    tested = data.rows("test")
    source = read_recordings(subjects, RecordingSettings(usual_band=True))
    raw = source.trials.values
    groups = np.array([sample.group for sample in source.samples])
    train_rows = data.rows("train")
    covariance = np.mean([raw[r].astype(float) @ raw[r].T / 100 for r in train_rows], axis=0)
    aligned = data.cache.pixels[tested, 0].astype(np.float64)
    of_all = np.linalg.inv(np.linalg.cholesky(covariance))
    # M' M is the inverse of the covariance, whichever root was taken
    np.testing.assert_allclose(
        [trial.T @ trial for trial in aligned[:3]],
        [(of_all @ raw[r]).T @ (of_all @ raw[r]) for r in tested[:3]],
        rtol=1e-2, atol=1e-2,
    )  # fmt: skip
    assert not set(groups[tested]) & set(groups[train_rows])


def test_a_broken_run_with_crops_and_alignment_goes_on_alike(subjects, tmp_path, monkeypatch):
    from vitreous.training import loop

    settings = {"epochs": 3, "align": "transductive", "crop": 0.5, **PLAIN}
    whole = train(subjects, network=small(), out=tmp_path / "whole", **settings)
    real, calls = loop.end_epoch, []

    def stop_after_two(t):
        real(t)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "end_epoch", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train(subjects, network=small(), out=tmp_path / "broken", **settings)
    monkeypatch.setattr(loop, "end_epoch", real)
    again = train(resume=tmp_path / "broken", network=small(), quiet=True)
    one, other = (run.network.state_dict() for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.evaluation["warnings"] == whole.evaluation["warnings"]


def test_a_run_on_trials_starts_from_the_weights_of_another(subjects, tmp_path):
    first = train(subjects, network="eegnet", epochs=1, out=tmp_path / "one", **PLAIN)
    louder = write_subjects(tmp_path / "louder", 3, seconds=25.0, rhythm=90.0)
    again = train(louder, weights=str(first.folder), epochs=1, out=tmp_path / "two", **PLAIN)
    assert again.record.network["name"] == "eegnet"
    assert str(subjects) in again.record.network["weights_seen"]
    assert any("trials of the test part may" in text for text in again.evaluation["warnings"])
    assert max(again.scaling.std) > 1.5 * max(first.scaling.std)  # by its own training trials


def test_answers_for_a_trial_are_the_mean_over_its_pieces():
    trials = torch.randn(4, 1, 3, 50, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(1))

    def forward(pieces):
        return torch.einsum("bct,cto->bo", pieces[:, 0], weights)

    found = averaged(forward, trials, Views(crop_samples=20, crop_stride=7))
    by_hand = [forward(trials[..., start : start + 20]) for start in (0, 7, 14, 21, 28, 30)]
    torch.testing.assert_close(found, sum(by_hand) / 6)
    assert Views(crop_samples=20).one(trials).shape[-1] == 20
    assert Views().one(trials) is trials


def test_settings_that_do_not_fit_are_refused(subjects, digits, tmp_path):
    np.savez(tmp_path / "x.npz", X=np.random.default_rng(0).normal(size=(20, 2, 900)),
             y=np.arange(20) % 2, sampling_rate_hz=100.0)  # fmt: skip
    out = tmp_path / "out"
    for data, settings, said in (
        (subjects, {"crop": 1.0}, "--crop 1: trials last 1 s"),
        (subjects, {"align": "sideways"}, "unknown align"),
        (tmp_path / "x.npz", {"moving_standardisation": True}, "cut before"),
        (digits, {"crop": 1.0}, "--crop: is for recordings"),
        (digits, {"align": "training"}, "--align: is for recordings"),
        (digits, {"moving_standardisation": True}, "--moving-standardisation: is for recordings"),
        (digits, {"recombine": 4}, "--recombine: is for recordings"),
    ):
        with pytest.raises(RequestError, match=said):
            train(data, out=out, quiet=True, epochs=1, **settings)


def test_the_estimator_crops_and_aligns_and_is_loaded_alike(tmp_path):
    values, labels = planted(n=48, samples=160)
    heads = np.repeat(["a", "b"], 24)
    values[24:] *= 30  # another amplifier
    settings = {"sampling_rate_hz": 100.0, "crop": 1.2, "epochs": 2, "batch_size": 24}
    for align in ("training", "transductive"):
        fitted = EEGClassifier("eegnet", align=align, **settings).fit(values, labels, groups=heads)
        assert fitted.network_.card.input_shape == (1, 4, 120)
        loaded = EEGClassifier.load(fitted.save(tmp_path / align))
        new = values[20:30]
        np.testing.assert_allclose(
            fitted.predict_proba(new), loaded.predict_proba(new), rtol=1e-5, atol=1e-6
        )
        louder = np.abs(fitted.predict_proba(new * 7) - fitted.predict_proba(new)).max()
        assert (louder < 1e-4) == (align == "transductive")
    with pytest.raises(RequestError, match="sampling_rate_hz"):
        EEGClassifier("eegnet", crop=1.0).fit(values, labels)
    with pytest.raises(RequestError, match="unknown align"):
        EEGClassifier("eegnet", align="x").fit(values, labels)


def test_epochs_of_mne_tell_their_rate():
    import mne

    values, labels = planted(n=24)
    info = mne.create_info([f"E{k}" for k in range(4)], 100.0, "eeg")
    events = np.stack([np.arange(24) * 200, np.zeros(24, int), (labels == "left") + 1], axis=1)
    epochs = mne.EpochsArray(values, info, events, verbose="error")
    fitted = EEGClassifier("eegnet", epochs=1).fit(epochs)
    assert fitted.network_.card.sampling_rate_hz == 100


def test_a_network_starts_from_the_patterns_of_its_training_trials_alone(subjects, tmp_path):
    run = train(subjects, network="eegnet", weights="csp", epochs=1, out=tmp_path / "a", **PLAIN)
    assert run.record.network["weights"] == "csp"
    assert not any("flattered" in said for said in run.evaluation["warnings"])
    again = Run.load(run.folder)
    assert again.network.card.weights == "csp"
    data = RunData.open(again)
    examples = TrainingData(
        data.cache.pixels.copy(),
        torch.tensor([run.record.classes.index(sample.label) for sample in data.samples]),
        data.rows("train"),
        data.rows("val"),
        again.scaling,
    )
    shape = (1, *examples.pixels.shape[2:])
    banks = []
    for changed in (False, True):
        if changed:
            examples.pixels[data.rows("test")] *= 100
        network = build_network("eegnet", shape, 2, seed=0, sampling_rate_hz=100.0)
        start_from_csp(network, examples)
        banks.append(network.features.bank.spatial.weight.detach())
    assert torch.equal(*banks)
    with pytest.raises(RequestError, match="one class a trial"):
        start_from_csp(network, replace(examples, targets=torch.zeros(len(data.samples), 1)))
    with pytest.raises(RequestError, match="bank of spatial filters"):
        train(
            subjects, network="shallowconvnet", weights="csp", epochs=1, out=tmp_path / "b", **PLAIN
        )


@pytest.mark.parametrize("name", ["eegnet", "atcnet"])
def test_norms_start_at_the_statistics_of_the_first_weights(name):
    """Second derivation: then evaluation answers as training does, on the very same trials."""
    torch.manual_seed(0)
    network = build_network(name, (1, 4, 400), 3, seed=0)
    inputs = 0.05 * torch.randn(48, 1, 4, 400) + 0.2
    network.train()
    before = {key: value.clone() for key, value in network.named_parameters()}
    random = torch.get_rng_state()
    settle_norms(network, inputs)
    assert torch.equal(torch.get_rng_state(), random)  # nothing was dropped
    assert all(module.training for module in network.modules())
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} <= {0.01, 0.1}
    assert all(norm.num_batches_tracked == 0 for norm in norms)
    assert all(torch.equal(value, before[key]) for key, value in network.named_parameters())
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        training, evaluation = network.train()(inputs), network.eval()(inputs)
    # running variances are of n - 1
    torch.testing.assert_close(evaluation, training, rtol=0.1, atol=0.03)
