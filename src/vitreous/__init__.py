"""Vitreous: convolutional networks you can see through.

    import vitreous

    run = vitreous.train("pictures/", time="10m")
    run.evaluation["metrics"]["accuracy"]
    for answer in run.predict("new/*.jpg"):
        print(answer.sample_id, answer.predicted, answer.confidence)

The names below are fetched when they are first used, so that the import itself takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vitreous.data.arrays import from_arrays, from_dataset
    from vitreous.data.inspect import inspect_source
    from vitreous.data.recognise import recognise
    from vitreous.errors import DataError, RequestError, VitreousError
    from vitreous.insight.trace import trace_of
    from vitreous.networks import Network, build_network
    from vitreous.runs.compare import compare
    from vitreous.runs.estimator import EEGClassifier
    from vitreous.runs.evaluate import evaluate
    from vitreous.runs.explain import explain
    from vitreous.runs.predict import predict
    from vitreous.runs.run import Run
    from vitreous.runs.study import Study
    from vitreous.runs.train import train

_HOMES = {
    "DataError": "vitreous.errors",
    "EEGClassifier": "vitreous.runs.estimator",
    "Network": "vitreous.networks",
    "RequestError": "vitreous.errors",
    "Run": "vitreous.runs.run",
    "Study": "vitreous.runs.study",
    "VitreousError": "vitreous.errors",
    "build_network": "vitreous.networks",
    "compare": "vitreous.runs.compare",
    "evaluate": "vitreous.runs.evaluate",
    "explain": "vitreous.runs.explain",
    "from_arrays": "vitreous.data.arrays",
    "from_dataset": "vitreous.data.arrays",
    "inspect_source": "vitreous.data.inspect",
    "predict": "vitreous.runs.predict",
    "recognise": "vitreous.data.recognise",
    "trace_of": "vitreous.insight.trace",
    "train": "vitreous.runs.train",
}

__all__ = [
    "DataError",
    "EEGClassifier",
    "Network",
    "RequestError",
    "Run",
    "Study",
    "VitreousError",
    "build_network",
    "compare",
    "evaluate",
    "explain",
    "from_arrays",
    "from_dataset",
    "inspect_source",
    "predict",
    "recognise",
    "trace_of",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vitreous' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
