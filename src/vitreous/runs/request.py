"""What `train` was asked for: plain values, kept with the run."""

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from vitreous.data.protocols import PROTOCOLS
from vitreous.errors import RequestError, unknown_name

CHOICES = {"precision": ("auto", "float32", "bfloat16"), "compile": ("auto", "yes", "no")}
ALIGNMENTS = ("training", "transductive")
UNITS_IN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class TrainRequest:
    """The arguments of `vitreous train`; each is a flag, a key of --config, and a parameter."""

    task: str | None = None
    network: str | None = None
    weights: str = "none"
    accept_weights_licence: bool = False  # weights whose licence does not allow every use
    group: str | None = None
    label: str | None = None  # the column that holds it
    classes: str | None = None  # of masks: a file with their names, or the names by commas
    ignore: int | None = None  # of masks: the number that is no class
    epochs: int | None = None
    time: str | float | None = None  # "10m", "90s", "1h30m", or seconds
    image_size: int | None = None  # pixels a side, in place of the chosen one
    batch_size: int | None = None
    learning_rate: float | None = None
    balance: str | None = None  # none, loss, sampling; None: what validation prefers
    max_pixels: int = 178_000_000
    max_skipped: float = 0.05  # share of files that may be unusable
    seed: int = 0
    device: str | None = None
    precision: str = "auto"  # float32, bfloat16; auto: the faster one, as timed
    compile: str = "auto"  # yes, no; auto: where it pays, as timed
    # of medical scans:
    memory: str | None = None  # "6GB": what a training step may take
    plan: str | None = None  # a file with an edited plan
    dimensions: str | None = None  # of the network on masks: 2, 2.5, 3 (None)
    slices: str | None = None  # axial, coronal, sagittal: each slice is a picture
    # of recordings:
    events: str | None = None  # "left=T1,right=T2"; None: every event is a class
    window: str | None = None  # "-0.5,4" seconds from the event
    channels: str | None = None  # "C3,Cz,C4"; None: all EEG channels
    only: str | None = None  # a regular expression on the paths of recordings
    reference: str | None = None  # "average", or a channel
    notch: float | None = None  # Hz
    band: str | None = None  # "4,38" Hz, or "none"; None: 0.5 to 45 where that can be
    resample: float | None = None  # Hz
    sampling_rate: float | None = None  # Hz, of arrays, which do not say it
    protocol: str | None = None  # across-subjects, across-sessions, within-session, given
    seeds: int = 1  # runs a fold
    folds: int | None = None
    moving_standardisation: bool = False  # of recordings, before trials are cut
    align: str | None = None  # training, transductive: Euclidean alignment of subjects' sessions
    crop: float | None = None  # seconds of a trial that the network sees at a time
    recombine: int | None = None  # pieces of a recombined trial, 0 for none; None: as the recipe
    accept_subject_leak: bool = False  # subjects on both sides though the label is a subject's

    def __post_init__(self) -> None:
        if self.epochs is not None and self.time is not None:
            raise RequestError("--epochs and --time both say how long to train; give one of them")
        if self.epochs is not None and self.epochs < 1:
            raise RequestError(f"--epochs {self.epochs}: train for at least one epoch")
        for flag, least in (("batch_size", 1), ("image_size", 1), ("max_pixels", 1)):
            value = getattr(self, flag)
            if value is not None and value < least:
                raise RequestError(f"--{flag.replace('_', '-')} {value}: use at least {least}")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise RequestError(f"--learning-rate {self.learning_rate}: use a number above 0")
        if not 0 <= self.max_skipped <= 1:
            raise RequestError(f"--max-skipped {self.max_skipped}: use a share from 0 to 1")
        if self.balance not in {None, "none", "loss", "sampling"}:
            raise unknown_name("balance", str(self.balance), ["none", "loss", "sampling"])
        for flag, known in CHOICES.items():
            if getattr(self, flag) not in known:
                raise unknown_name(flag, str(getattr(self, flag)), known)
        if not 0 <= self.seed < 2**63:
            raise RequestError(f"--seed {self.seed}: use a whole number from 0 on")
        if self.time is not None:
            seconds(self.time)
        if self.recombine is not None and not (self.recombine == 0 or 2 <= self.recombine <= 100):
            raise RequestError(f"--recombine {self.recombine}: use 2 to 100 pieces, or 0 for none")
        if self.align is not None and self.align not in ALIGNMENTS:
            raise unknown_name("align", self.align, ALIGNMENTS)
        if self.crop is not None and not 0 < self.crop < math.inf:
            raise RequestError(f"--crop {self.crop}: use a number of seconds above 0")
        if not 1 <= self.seeds <= 1000:
            raise RequestError(f"--seeds {self.seeds}: use a number from 1 to 1000")
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise unknown_name("protocol", self.protocol, PROTOCOLS)

    def refuse_for_pictures(self) -> None:
        """Raises `RequestError` for what only recordings have."""
        for flag in ("moving_standardisation", "align", "crop", "recombine"):
            if getattr(self, flag) not in (None, False):
                name = flag.replace("_", "-")
                raise RequestError(f"--{name}: is for recordings; leave it out for pictures")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "TrainRequest":
        """The request that `to_json` wrote; a key it does not know is refused."""
        known = {item.name for item in fields(TrainRequest)}
        for key in value:
            if key not in known:
                raise unknown_name("setting", key, known)
        return TrainRequest(**value)


def seconds(text: str | float) -> float:
    """Seconds in a time such as "10m", "90s", "1h30m" or a plain number of seconds.

    >>> seconds("1h30m"), seconds("90s"), seconds(2.5)
    (5400.0, 90.0, 2.5)
    """
    if isinstance(text, int | float):
        return _positive(float(text), text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return _positive(float(text), text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise RequestError(f"--time {text!r}: write it as 90s, 10m or 1h30m")
    return _positive(sum(float(number) * UNITS_IN_SECONDS[unit] for number, unit in parts), text)


def _positive(value: float, text: str | float) -> float:
    if value <= 0:
        raise RequestError(f"--time {text}: must be more than nothing")
    return value
