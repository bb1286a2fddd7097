"""What an EEG network has to beat: the classical decoders, fitted on training trials only.

- CSP and a linear discriminant (Ramoser et al. 2000; Blankertz et al. 2008): spatial filters whose
  power differs most between the classes, 8 to 30 Hz.
- Tangent space and logistic regression (Barachant et al. 2012): covariances as points of a curved
  space, flattened at their mean; 8 to 30 Hz.
- Ridge on logarithmic band power: channels by bands, 1 to 45 Hz.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vitreous.evaluation.baselines import Baseline, majority_class
from vitreous.evaluation.weighted import Values

CSP = "CSP and linear discriminant"
TANGENT = "tangent space and logistic regression"
RIDGE_POWER = "ridge on log band power"

MOTOR_BAND_HZ = (8.0, 30.0)
BANDS_HZ = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
WELCH_S, LEAST_SAMPLES = 0.5, 16  # of a piece whose spectrum is taken
FILTERS_A_CLASS = 2  # of CSP
ORDER = 4


def eeg_baselines(
    trials: NDArray[np.float32],
    rate_hz: float,
    train_rows: NDArray[np.int64],
    truth: NDArray[np.int64],
    test_rows: NDArray[np.int64],
    classes: int,
) -> list[Baseline]:
    """Answers of the majority and of the three decoders for the test rows.

    `trials` float32 (n, channels, time); `truth` int (training rows,). Without pyriemann (extra
    `eeg`) the two that need it are left out.
    """
    found = [majority_class(truth, len(test_rows), classes)]
    makers: list[tuple[str, Callable[..., Values]]] = [(RIDGE_POWER, _ridge_power)]
    try:
        import pyriemann  # noqa: F401
    except ImportError:
        pass
    else:
        makers = [(CSP, _csp), (TANGENT, _tangent), *makers]
    for name, make in makers:
        known = np.unique(truth)
        answers = np.zeros((len(test_rows), classes))
        if len(known) < 2:
            answers[:, known] = 1.0
        else:
            answers[:, known] = make(trials, rate_hz, train_rows, truth, test_rows)
        found.append(Baseline(name, answers, f"fitted on {len(train_rows)} training trials"))
    return found


def _csp(trials, rate_hz, train_rows, truth, test_rows) -> Values:
    from pyriemann import spatialfilters

    filters = min(FILTERS_A_CLASS * len(np.unique(truth)), trials.shape[1])
    model = make_pipeline(
        spatialfilters.CSP(nfilter=filters, log=True), LinearDiscriminantAnalysis()
    )
    return _on_covariances(model, trials, rate_hz, train_rows, truth, test_rows)


def _tangent(trials, rate_hz, train_rows, truth, test_rows) -> Values:
    from pyriemann.tangentspace import TangentSpace

    model = make_pipeline(
        TangentSpace(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    )
    return _on_covariances(model, trials, rate_hz, train_rows, truth, test_rows)


def _on_covariances(model: Any, trials, rate_hz, train_rows, truth, test_rows) -> Values:
    with warnings.catch_warnings():  # of small sets: the answers are judged as they are
        warnings.simplefilter("ignore")
        model.fit(covariances(trials, train_rows, rate_hz), truth)
        return model.predict_proba(covariances(trials, test_rows, rate_hz))


def covariances(
    trials: NDArray[np.float32], rows: NDArray[np.int64], rate_hz: float
) -> NDArray[np.float64]:
    """Covariances 8 to 30 Hz, (rows, channels, channels), shrunk (oracle approximating, 2010).

    In units of the trials' own deviation, so that volts do not vanish in rounding.
    """
    from pyriemann.estimation import Covariances

    oas = Covariances(estimator="oas")
    unit = _unit(trials)
    sections = signal.butter(ORDER, _band(MOTOR_BAND_HZ, rate_hz), "bandpass", fs=rate_hz,
                             output="sos")  # fmt: skip
    found = []
    for row in rows:
        values = signal.sosfiltfilt(sections, trials[row].astype(np.float64) / unit, axis=1,
                                    padlen=min(trials.shape[2] - 1, 3 * int(rate_hz)))  # fmt: skip
        found.append(oas.transform(values[None])[0])
    return np.stack(found)


def _ridge_power(trials, rate_hz, train_rows, truth, test_rows) -> Values:
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-1, 5, 13)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(log_band_power(trials, train_rows, rate_hz), truth)
    decision = model.decision_function(log_band_power(trials, test_rows, rate_hz))
    decision = np.stack([-decision, decision], axis=1) if decision.ndim == 1 else decision
    shares = np.exp(2 * (decision - decision.max(axis=1, keepdims=True)))
    return shares / shares.sum(axis=1, keepdims=True)


def log_band_power(
    trials: NDArray[np.float32], rows: NDArray[np.int64], rate_hz: float
) -> NDArray[np.float64]:
    """Logarithm of the power in each band and channel, (rows, channels * bands).

    Welch's spectra of half a second (of at least 16 samples, or the whole trial where that is
    shorter): of a trial of one second three are averaged. A channel that is constant gets the least
    power that occurs, so that no logarithm is infinite.
    """
    length = min(trials.shape[2], max(LEAST_SAMPLES, round(WELCH_S * rate_hz)))
    unit = _unit(trials)
    powers = []
    for row in rows:
        hz, density = signal.welch(
            trials[row].astype(np.float64) / unit, rate_hz, nperseg=length, axis=1
        )
        bands = [(hz >= low) & (hz < high) for low, high in BANDS_HZ if low < 0.9 * rate_hz / 2]
        powers.append([density[:, band].mean(axis=1) for band in bands if band.any()])
    found = np.array(powers)
    least = found[found > 0].min() if (found > 0).any() else 1.0
    return np.log(np.maximum(found, least)).reshape(len(rows), -1)


def _unit(trials: NDArray[np.float32]) -> float:
    """A usual size of these trials' values: any one that is the same for training and test."""
    spread = float(np.median(np.std(trials[: min(32, len(trials))], axis=2, dtype=np.float64)))
    return spread if spread > 0 else 1.0


def _band(wanted: tuple[float, float], rate_hz: float) -> tuple[float, float]:
    high = min(wanted[1], 0.45 * rate_hz)
    return min(wanted[0], high / 2), high
