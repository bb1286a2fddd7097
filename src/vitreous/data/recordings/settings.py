"""What the user says about recordings: which events are classes, which window, which channels."""

import re
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from vitreous.data.preprocessing import Preprocessing
from vitreous.errors import RequestError

TECHNICAL = re.compile(
    r"^(bad|edge|boundary|new segment|segment|start|stop|end|sync|lost samples|recording)(?![a-z])",
    re.IGNORECASE,
)
"""Names of marks that amplifiers and programs leave, which nobody decodes."""


@dataclass(frozen=True)
class TrialFormat:
    """What trials must be like to fit a network that is there already."""

    channels: tuple[str, ...]
    sampling_rate_hz: float
    samples: int
    window_s: tuple[float, float]
    reference_channels: tuple[str, ...] | None = None  # None: of a run that did not keep them


@dataclass(frozen=True)
class RecordingSettings:
    """How trials are cut from recordings. All have defaults that fit what the data says."""

    events: str | None = None  # "left=T1,right=T2"; None: every event is a class
    window: str | None = None  # "-0.5,4" seconds from the event; None: what the events last
    label: str | None = None  # a column of participants.tsv; None: the event
    subject: str | None = None  # a regular expression with one group, searched in the paths
    only: str | None = None  # a regular expression: files whose path it is found in
    channels: str | None = None  # "C3,Cz,C4"; None: all EEG channels
    sampling_rate_hz: float | None = None  # of arrays, which do not say it
    chain: Preprocessing = field(default_factory=Preprocessing)
    usual_band: bool = False  # 0.5 to 45 Hz where recordings are contiguous and no band was named
    task: str | None = None
    like: TrialFormat | None = None  # for prediction: the network's own
    for_training: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def event_classes(text: str | None) -> dict[str, list[str]] | None:
    """Class -> patterns of event names, from `left=T1,right=T2`; None for None.

    A name alone is its own class; `both=T1|T3` takes two events as one; `*` stands for anything.

    >>> event_classes("left=T1,right=T2|769,rest")
    {'left': ['T1'], 'right': ['T2', '769'], 'rest': ['rest']}
    """
    if text is None:
        return None
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, patterns = part.partition("=")
        wanted = [pattern.strip() for pattern in (patterns or name).split("|")]
        if not name.strip() or not all(wanted):
            raise RequestError(f"--events '{part}': write CLASS=EVENT, such as left=T1,right=T2")
        found.setdefault(name.strip(), []).extend(wanted)
    if not found:
        raise RequestError("--events is empty; write CLASS=EVENT, such as left=T1,right=T2")
    return found


def class_of(event: str, classes: dict[str, list[str]] | None) -> str | None:
    """The class of an event's name; None where it belongs to none.

    >>> class_of("T2", {"left": ["T1"], "right": ["T2"]}), class_of("BAD_jump", None)
    ('right', None)
    """
    if classes is None:
        return None if TECHNICAL.match(event) else event
    for name, patterns in classes.items():
        if any(fnmatchcase(event, pattern) for pattern in patterns):
            return name
    return None


def window_seconds(text: str | None) -> tuple[float, float] | None:
    """Two numbers of seconds from `-0.5,4`; None for None. Raises `RequestError`.

    >>> window_seconds("-0.5,4")
    (-0.5, 4.0)
    """
    if text is None:
        return None
    try:
        start, stop = (float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            f"--window '{text}': write two numbers of seconds from the event, such as -0.5,4"
        ) from None
    if not start < stop:
        raise RequestError(f"--window {text}: must end after it starts")
    return start, stop


def band_hz(text: str | None) -> tuple[float | None, float | None]:
    """Lower and upper bound from `4,38`, `0.5,` or `,40`; both None for `none`.

    >>> band_hz("4,38"), band_hz("0.5,"), band_hz("none")
    ((4.0, 38.0), (0.5, None), (None, None))
    """
    if text is None or text == "none":
        return None, None
    try:
        low, high = (float(part) if part.strip() else None for part in text.split(","))
    except ValueError:
        raise RequestError(f"--band '{text}': write two frequencies in Hz, such as 4,38") from None
    return low, high
