"""A run: the folder that a training leaves, and what can be done with it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from vitreous.data.cache import PixelFormat
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.errors import RequestError
from vitreous.files import read_json
from vitreous.inference import Views
from vitreous.networks import NetworkCard, rebuild_network
from vitreous.networks.network import OWN
from vitreous.report.notebook import summary_html
from vitreous.runs.record import RunRecord
from vitreous.tasks import Task, task_named
from vitreous.training.checkpoints import load_tensors

if TYPE_CHECKING:
    from vitreous.evaluation.compare import Comparison
    from vitreous.insight.trace import Trace
    from vitreous.runs.box_files import PictureAnswer
    from vitreous.runs.explain import PictureExplanation
    from vitreous.runs.predict import Prediction


@dataclass
class Run:
    """The folder of a training. Nothing that is loaded from it can run code."""

    folder: Path
    record: RunRecord
    own_network: nn.Module | None = field(default=None, repr=False)

    @staticmethod
    def load(folder: "Path | str", network: nn.Module | None = None) -> "Run":
        """The run in a folder; `network` is needed only where the user's own code made it.

        Raises `DataError` when the folder is no run.
        """
        return Run(Path(folder), RunRecord.read(Path(folder)), network)

    @cached_property
    def network(self) -> nn.Module:
        """The trained network with its best weights, in evaluation mode, on the CPU."""
        network = self.untrained_network()
        network.load_state_dict(load_tensors(self.folder / "network.safetensors"))
        return network.eval()

    def untrained_network(self) -> nn.Module:
        """The network as it was built, its weights still to be loaded."""
        card = NetworkCard.from_json(self.record.network)
        if self.own_network is not None:
            return self.own_network
        if card.name == OWN:
            raise RequestError(
                f"{self.folder}: the network was made by your own code; "
                "pass it: Run.load(folder, network=...)"
            )
        return rebuild_network(card)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: trained, scored and reported."""
        return self.record.status == "finished" and (self.folder / "report.html").exists()

    @property
    def task(self) -> Task:
        """What the network answers."""
        return task_named(self.record.task, self.record.classes, self.record.task_settings)

    @property
    def pixel_format(self) -> PixelFormat:
        """Size and channels of the pictures that the network takes."""
        pixel_format = self.record.data.pixel_format
        return PixelFormat(
            (pixel_format["height"], pixel_format["width"]),
            pixel_format["channels"],
            scale=pixel_format.get("scale"),
        )

    @property
    def seen_size(self) -> tuple[int, int]:
        """Height and width of what the network takes in one pass; of trials it may be a piece."""
        height, width = self.pixel_format.size
        return height, self.views.crop_samples or width

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, then the sides of what the network takes in one pass; of scans three."""
        if self.of_scans:
            return NetworkCard.from_json(self.record.network).input_shape
        return (self.pixel_format.channels, *self.seen_size)

    @property
    def of_trials(self) -> bool:
        """Whether the run is of recordings, not of pictures."""
        return self.record.signal == "eeg"

    @property
    def of_scans(self) -> bool:
        """Whether the run is of medical scans in three dimensions."""
        return self.record.signal == "volume"

    @property
    def scaling(self) -> Scaling | TrialScaling:
        """How pixels, or trials, become network inputs."""
        scaling = self.record.network["scaling"]
        kind = TrialScaling if self.of_trials else Scaling
        return kind(tuple(scaling["mean"]), tuple(scaling["std"]))

    @property
    def views(self) -> Views:
        """The views of a picture whose answers are averaged."""
        return Views(**self.record.recipe.get("views", {}))

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """evaluation.json of the sealed test part; None when it was not scored."""
        path = self.folder / "evaluation.json"
        return read_json(path) if path.is_file() else None

    @property
    def temperature(self) -> float:
        """What calibrates the probabilities: fitted on the validation part."""
        return self.record.calibration.get("temperature", 1.0)

    @property
    def half_width(self) -> float | None:
        """Half the width of a predicted number's 95 % interval: from the validation part."""
        return self.record.calibration.get("half_width")

    def predict(
        self, inputs: "str | Path | Iterable[str | Path]", device: str | None = None
    ) -> "Iterator[Prediction]":
        """Answers for files, folders and globs, one after the other, bad files included."""
        from vitreous.runs.predict import predict

        return predict(self, inputs, device=device)

    def boxes(
        self,
        inputs: "str | Path | Iterable[str | Path]",
        device: str | None = None,
        confidence: float | None = None,
    ) -> "Iterator[PictureAnswer]":
        """A detector's boxes in files, folders and globs, one picture after the other.

        Those from `confidence` on, by default from the one that validation chose. Raises
        `RequestError` where the run is no detector.
        """
        from vitreous.runs.predict_boxes import predict_boxes

        names = [str(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]
        return predict_boxes(self, names, device=device, confidence=confidence)

    def evaluate(self, data: "str | Path | None" = None, quiet: bool = True) -> dict[str, Any]:
        """Scores on new data; without data, those of the sealed test part."""
        from vitreous.runs.evaluate import evaluate

        return evaluate(self, data, quiet=quiet)

    def trace(self, picture: "str | Path") -> "Trace":
        """Every value that the network computes for a picture, and what each is made of."""
        from vitreous.runs.trace import trace

        return trace(self, picture)

    def explain(
        self,
        inputs: "str | Path | Iterable[str | Path]",
        method: str | None = None,
        *,
        layer: str | None = None,
        target_class: str | None = None,
        versus: str | None = None,
        pixel: "str | Sequence[int] | None" = None,
        box: int | None = None,
        voxel: "str | Sequence[int] | None" = None,
        check: bool = True,
    ) -> "Iterator[PictureExplanation]":
        """For each picture what speaks for its answer and against it, and whether that is true.

        Of a run on masks the answer is that of the `pixel` (x, y), on masks of scans of the `voxel`
        (x, y, z), of a detector the `box`, counted from 1, the surest.
        """
        from vitreous.runs.explain import explain

        return explain(
            self,
            inputs,
            method,
            layer=layer,
            target_class=target_class,
            versus=versus,
            pixel=pixel,
            box=box,
            voxel=voxel,
            check=check,
        )

    def compare(self, other: "Run", data: "str | Path | None" = None) -> "dict[str, Comparison]":
        """Which of two runs is better on the same samples, and by how much."""
        from vitreous.runs.compare import compare

        return compare(self, other, data)

    def _repr_html_(self) -> str:
        return summary_html(read_json(self.folder / "run.json"), self.evaluation)
