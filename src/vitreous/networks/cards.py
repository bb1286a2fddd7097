"""The card of a network: all that is needed to build it again and to feed it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from vitreous.errors import DataError, unknown_name


class HasMeanAndStd(Protocol):
    """Something that says how pixels in 0..1 are scaled: (pixel - mean) / std, a channel each."""

    @property
    def mean(self) -> Sequence[float]:
        """One number a channel."""
        ...

    @property
    def std(self) -> Sequence[float]:
        """One number a channel."""
        ...


INPUT_KEYS = ("channels", "height", "width")
VOLUME_KEYS = ("channels", "depth", "height", "width")


@dataclass(frozen=True)
class NetworkCard:
    """What a network is. `to_json` and `from_json` are each other's inverse."""

    name: str  # as `build_network` takes it; of a user's own modules, their name
    features: str
    head: str
    input: dict[str, int]  # channels, (depth,) height, width; of EEG 1, electrodes, samples
    outputs: int  # classes; 1 for a regression
    parameters: int
    scaling: dict[str, list[float]] = field(  # of pixels in 0..1, a channel each
        default_factory=lambda: {"mean": [0.0], "std": [1.0]}
    )
    weights: str = "none"  # what the training started from; "none" for random numbers
    weights_licence: str | None = None
    weights_seen: str | None = None  # e.g. "ImageNet-1k: may contain these pictures"
    whitened_on: int | None = None  # training pictures that a fixed first layer was fitted to
    sampling_rate_hz: float | None = None  # that lengths of EEG kernels were chosen for
    plan: dict[str, Any] | None = None  # of a U-Net: `UNetPlan`

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NetworkCard":
        """The card in a dict. Raises `RequestError` or `DataError` on unknown or missing keys."""
        optional = {"scaling", "weights", "weights_licence", "weights_seen", "whitened_on"}
        optional |= {"sampling_rate_hz", "plan"}
        names = [each.name for each in fields(cls)]
        _check_keys(value, names, optional, "network card")
        keys = VOLUME_KEYS if "depth" in value["input"] else INPUT_KEYS
        _check_keys(value["input"], keys, set(), "input of the network card")
        if "scaling" in value:
            _check_keys(value["scaling"], ("mean", "std"), set(), "scaling of the network card")
        return cls(**value)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width); of volumes (channels, depth, height, width)."""
        return tuple(self.input[key] for key in VOLUME_KEYS if key in self.input)


def input_to_json(shape: Sequence[int]) -> dict[str, int]:
    """{"channels": ..., "height": ..., "width": ...} from the numbers; four have a depth."""
    keys = VOLUME_KEYS if len(shape) == len(VOLUME_KEYS) else INPUT_KEYS
    return dict(zip(keys, map(int, shape), strict=True))


def scaling_to_json(scaling: HasMeanAndStd | None, channels: int) -> dict[str, list[float]]:
    """{"mean": [...], "std": [...]} with one number a channel; 0 and 1 where none is given."""
    if scaling is None:
        return {"mean": [0.0] * channels, "std": [1.0] * channels}
    return {"mean": [float(x) for x in scaling.mean], "std": [float(x) for x in scaling.std]}


def _check_keys(value: Any, known: Sequence[str], optional: set[str], what: str) -> None:
    """Raise unless `value` is a dict of the known keys, the optional ones left out or not."""
    if not isinstance(value, Mapping):
        raise DataError(f"{what}: expected names and values, found {value!r}")
    for key in value:
        if key not in known:
            raise unknown_name(f"key in the {what}", key, known)
    for key in known:
        if key not in value and key not in optional:
            raise DataError(f"{what}: '{key}' is missing")
