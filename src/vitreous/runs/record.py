"""run.json: what a run is and how it was made, as dataclasses that go to JSON and back."""

import platform
import shlex
import sys
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from vitreous import __version__
from vitreous.errors import DataError
from vitreous.files import read_json, write_json

FORMAT = 1
LISTED_AT_MOST = 100  # skipped files and duplicate pairs; split.csv has them all

Status = Literal["running", "interrupted", "finished"]


@dataclass
class DataRecord:
    """The data of a run: what it was recognised as, how it was split, what was left out."""

    given: str  # absolute, as it was named: a folder or a file
    root: str
    recognised_as: str
    why: str
    fingerprint: str
    label_kind: str
    split_how: str
    group: str | None
    counts: dict[str, Any]  # split -> {class -> samples} (or samples), and skipped -> samples
    skipped: list[dict[str, str]]
    duplicates: dict[str, Any]
    pixel_format: dict[str, Any]  # height, width, channels; with masks scale
    warnings: list[str] = field(default_factory=list)
    volumes: dict[str, Any] | None = None  # of scans: the plan, names of channels, modality
    trials: dict[str, Any] | None = None  # of recordings: rate, channels, window, preprocessing


@dataclass
class RunRecord:
    """All of run.json. `request` is what was asked for, so that a killed run can go on."""

    status: Status
    task: str
    task_settings: dict[str, Any]
    signal: str
    classes: list[str]
    unit: str | None
    data: DataRecord
    network: dict[str, Any]
    recipe: dict[str, Any]
    compute: dict[str, Any]
    planned_steps: int
    seed: int
    request: dict[str, Any]
    versions: dict[str, str]
    hardware: dict[str, Any]
    command: str
    started: str
    best: dict[str, Any] | None = None
    calibration: dict[str, Any] = field(default_factory=dict)  # fitted on the validation part
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what was decided on the way, in sentences

    def write(self, folder: Path) -> None:
        """Write run.json atomically."""
        write_json(folder / "run.json", {"format": FORMAT, **asdict(self)})

    @staticmethod
    def read(folder: Path) -> "RunRecord":
        """Read run.json. Raises `DataError` when the folder is no run or of a newer format."""
        path = folder / "run.json"
        if not path.is_file():
            raise DataError(f"{folder}: not a run (it has no run.json); `vitreous train` makes one")
        value = read_json(path)
        return _record_from(path, value)


def _record_from(path: Path, value: Any) -> RunRecord:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise DataError(f"{path}: format {found} is not {FORMAT}; use the version that wrote it")
    known = {item.name for item in fields(RunRecord)}
    try:
        plain: dict[str, Any] = {name: item for name, item in value.items() if name in known}
        plain["data"] = DataRecord(**plain["data"])
        return RunRecord(**plain)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: incomplete ({error})") from None


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    packages = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow",
                "mne", "pyriemann")  # fmt: skip
    found = {"vitreous": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def command_line() -> str:
    """How this process was called, as one could type it again; for Python, the script's name."""
    called, *words = Path(sys.argv[0]), *sys.argv[1:]
    if called.name == "vitreous" or called.parts[-2:] == ("vitreous", "__main__.py"):
        return shlex.join(["vitreous", *words])
    return f"Python: {called.name or 'interactive'}"
