"""The classifier in scikit-learn's and MOABB's hands."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tests.small_decoder import Small

from vitreous import EEGClassifier
from vitreous.errors import DataError, RequestError


def make(shape, outputs):
    return Small(shape[1], outputs)


def planted(n=60, classes=2, channels=4, samples=100, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    values = random.normal(size=(n, channels, samples))
    time = np.arange(samples) / 100
    for row, label in enumerate(labels):
        values[row, label] += 3 * np.sin(2 * np.pi * 10 * time + random.uniform(0, 6))
    names = np.array(["feet", "left", "right"])[:classes]
    return (values * 1e-5).astype(np.float64), names[labels]


def test_it_learns_in_cross_val_score_and_is_cloned():
    values, labels = planted()
    classifier = EEGClassifier(make, epochs=15, seed=3)
    scores = cross_val_score(classifier, values, labels, cv=3)
    assert scores.mean() > 0.9
    copied = clone(classifier)
    assert copied.get_params() == classifier.get_params()
    assert not hasattr(classifier, "network_")
    piped = make_pipeline(FunctionTransformer(lambda x: x * 1e6), EEGClassifier(make, epochs=5))
    assert cross_val_score(piped, values, labels, cv=2, scoring="roc_auc").mean() > 0.7


def test_the_same_seed_gives_the_same_answers():
    values, labels = planted(classes=3, n=48)
    one, other = (EEGClassifier(make, epochs=3, seed=1).fit(values, labels) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(values), other.predict_proba(values))
    third = EEGClassifier(make, epochs=3, seed=2).fit(values, labels)
    assert not np.array_equal(one.predict_proba(values), third.predict_proba(values))
    np.testing.assert_allclose(one.predict_proba(values).sum(axis=1), 1)
    assert list(one.classes_) == ["feet", "left", "right"]
    assert (one.predict(values) == one.classes_[one.predict_proba(values).argmax(axis=1)]).all()


def test_mne_epochs_in_place_of_arrays():
    mne = pytest.importorskip("mne")
    values, labels = planted()
    info = mne.create_info([f"E{k}" for k in range(4)] + ["eye"], 100.0, ["eeg"] * 4 + ["eog"])
    codes = (labels == "left").astype(int) + 1
    events = np.stack([np.arange(60) * 200, np.zeros(60, int), codes], axis=1)
    data = np.concatenate([values, np.zeros((60, 1, 100))], axis=1)
    epochs = mne.EpochsArray(data, info, events, verbose="error")
    fitted = EEGClassifier(make, epochs=15).fit(epochs)
    assert fitted.score(epochs) > 0.9
    again = EEGClassifier(make, epochs=15).fit(values, codes)
    np.testing.assert_allclose(fitted.predict_proba(epochs), again.predict_proba(values), atol=1e-6)


def epochs_of(values, labels, names, rate=100.0, kinds=None):
    mne = pytest.importorskip("mne")
    info = mne.create_info(list(names), rate, kinds or "eeg")
    codes = (labels == "left").astype(int) + 1
    events = np.stack([np.arange(len(values)) * 200, np.zeros(len(values), int), codes], axis=1)
    return mne.EpochsArray(values, info, events, verbose="error")


@pytest.fixture(scope="module")
def fitted_on_epochs():
    values, labels = planted()
    epochs = epochs_of(values, labels, ("C3", "Cz", "C4", "Pz"))
    return EEGClassifier("eegnet", epochs=2).fit(epochs), epochs


def test_channels_of_epochs_are_taken_by_name(fitted_on_epochs, tmp_path):
    fitted, epochs = fitted_on_epochs
    wanted = fitted.predict_proba(epochs)
    values, labels = planted()
    more = np.concatenate([values[:, [2, 0, 3, 1]], values[:, :1]], axis=1)
    turned = epochs_of(more, labels, ("C4", "C3", "Pz", "Cz", "Oz"))
    loaded = EEGClassifier.load(fitted.save(tmp_path / "saved"))
    for classifier in (fitted, loaded):
        np.testing.assert_array_equal(classifier.predict_proba(turned), wanted)
        assert classifier.score(turned) == fitted.score(epochs)
        # arrays have no names: they are taken as they are
        np.testing.assert_array_equal(classifier.predict_proba(values), wanted)
        with pytest.raises(DataError, match="no EEG channel Cz, Pz, which it was fitted on"):
            classifier.predict(turned.copy().pick(["C4", "C3", "Oz"]))
    of_arrays = EEGClassifier("eegnet", epochs=1).fit(values, labels)
    assert of_arrays.predict(epochs).shape == (60,)


def test_another_sampling_rate_is_refused(fitted_on_epochs, tmp_path):
    fitted, epochs = fitted_on_epochs
    with pytest.raises(RequestError, match=r"of 100 Hz.*sampling_rate_hz is 250.*resample\(250\)"):
        EEGClassifier("eegnet", sampling_rate_hz=250).fit(epochs)
    values, labels = planted()
    slower = epochs_of(values, labels, epochs.ch_names, rate=50.0)
    loaded = EEGClassifier.load(fitted.save(tmp_path / "saved"))
    of_arrays = EEGClassifier("eegnet", sampling_rate_hz=100.0, epochs=1).fit(values, labels)
    for classifier in (fitted, loaded, of_arrays):
        with pytest.raises(DataError, match=r"of 50 Hz.*fitted on 100 Hz.*resample\(100\)"):
            classifier.predict_proba(slower)


def test_before_fit_it_says_that_it_is_not_fitted(tmp_path):
    values, labels = planted()
    new = EEGClassifier()
    for asked in (
        lambda: new.predict(values),
        lambda: new.predict_proba(values),
        lambda: new.decision_function(values),
        lambda: new.score(values, labels),
        lambda: new.score("nothing", None),
        lambda: new.save(tmp_path / "saved"),
    ):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            asked()


def test_what_is_no_trials_is_refused():
    values, labels = planted()
    with pytest.raises(DataError, match=r"shape \(60, 400\)"):
        EEGClassifier(make).fit(values.reshape(60, 400), labels)
    with pytest.raises(DataError, match="no numbers"):
        EEGClassifier(make).fit(np.where(values > 1e-5, np.nan, values), labels)
    with pytest.raises(DataError, match="one class"):
        EEGClassifier(make).fit(values, np.ones(60))
    with pytest.raises(DataError, match="one each"):
        EEGClassifier(make).fit(values, labels[:10])
    fitted = EEGClassifier(make, epochs=1).fit(values, labels)
    with pytest.raises(DataError, match="fitted on 4 and 100"):
        fitted.predict(values[:, :3])
    with pytest.raises(RequestError, match="cannot be saved"):
        fitted.save("nowhere")


def test_moabbs_evaluations_take_it_as_it_is(tmp_path, monkeypatch):
    moabb = pytest.importorskip("moabb")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moabb.datasets.fake import FakeDataset
        from moabb.evaluations import CrossSubjectEvaluation, WithinSessionEvaluation
        from moabb.paradigms import LeftRightImagery

        moabb.set_log_level("error")
        monkeypatch.setenv("MNE_DATA", str(tmp_path))
        dataset = FakeDataset(
            event_list=["left_hand", "right_hand"], n_sessions=1, n_runs=1, n_subjects=2,
            n_events=24, duration=80, paradigm="imagery", seed=1,
        )  # fmt: skip
        paradigm = LeftRightImagery()
        pipelines = {"ours": EEGClassifier(make, epochs=1)}
        for kind in (WithinSessionEvaluation, CrossSubjectEvaluation):
            evaluation = kind(
                paradigm=paradigm, datasets=[dataset], overwrite=True,
                hdf5_path=str(tmp_path / kind.__name__), suffix="test",
            )  # fmt: skip
            results = evaluation.process(pipelines)
            assert len(results) == 2
            assert results["score"].between(0, 1).all()
            assert set(results["pipeline"]) == {"ours"}
