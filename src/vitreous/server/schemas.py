"""What the server answers, as types: the front end's own types are generated from these."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Number = float | str
"""A number; "nan", "inf" and "-inf" are text, as JSON has none."""

TaskName = Literal["classify", "classify-multilabel", "regress", "segment", "detect"]
Part = Literal["train", "val", "test", "own"]


class Schema(BaseModel):
    """A fixed set of fields: what is not declared is not sent."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    """Why a request was refused, in one line."""

    error: str


class Metric(Schema):
    """A score of the test part with its 95 % interval."""

    name: str
    words: str  # name and value, as the report writes them
    value: float | None
    low: float | None
    high: float | None
    unit: str | None
    higher_is_better: bool


class TrialFormat(Schema):
    """What the rows and columns of a trial are."""

    channels: list[str]  # by name, in the order of the rows
    sampling_rate_hz: float
    window_s: list[float]  # first and last second, from the event on
    unit: str  # of the values: "V", or "" where they have none
    mean: list[float]  # a number a channel: the network gets (value - mean) / std
    std: list[float]


class ScanFormat(Schema):
    """How scans lie in what is shown: slices grow to the head, rows to the front, columns to the
    patient's right.
    """

    spacing_mm: list[float]  # from a slice, a row, a column to the next
    piece: bool  # a part of a scan; else the network sees it whole


class RunSummary(Schema):
    """What the run is, and what of it can be looked at."""

    name: str
    task: TaskName
    classes: list[str]
    unit: str | None  # of a predicted number
    network: str
    parameters: int
    input_shape: list[int]  # channels, (slices,) height, width; of trials 1, channels, time
    trial: TrialFormat | None  # of recordings
    scan: ScanFormat | None  # of scans
    status: str
    metrics: list[Metric]
    parts: dict[str, int]  # part -> samples
    samples_missing: str | None  # why the data's pictures cannot be shown, where they cannot
    warnings: list[str]
    largest_upload_bytes: int
    others: list[str]  # runs that answers can be compared with


class SampleRow(Schema):
    """One sample, and the answer that was scored for it, where there is one."""

    sample_id: str
    part: Part
    truth: str
    predicted: str | None
    confidence: float | None
    wrong: bool | None


class Traces(Schema):
    """How the traces of a trial are drawn."""

    reach: float  # of a row, up and down from its channel's median, in the trial's unit
    unit: str


class SampleList(Schema):
    """Some rows of all that fit what was asked for."""

    total: int
    first: int
    samples: list[SampleRow]


class ClassShare(Schema):
    """A class and its calibrated probability."""

    name: str
    probability: float


class Area(Schema):
    """How much of a picture a class has."""

    name: str
    number: int  # the class's place
    colour: str  # in which it is drawn
    share: float
    confidence: float | None  # mean calibrated probability of its pixels; null where it has none


class FoundBox(Schema):
    """A box that a detector answered with."""

    name: str
    confidence: float  # calibrated
    corners: list[float]  # left, top, right, bottom in the picture as the network gets it
    layer: str
    cell: list[int]  # the number in that layer that is the class's score


class Answer(Schema):
    """What the run answers for one picture."""

    sample: SampleRow
    predicted: str
    probabilities: list[ClassShare]  # most probable first; empty for a number
    value: float | None
    low: float | None  # of the value's 95 % interval
    high: float | None
    temperature: float  # what the outputs were divided by
    views: int  # of the picture, whose answers are averaged
    number_format: str  # in which the answer was computed
    plain_gap: float  # largest difference of the one plain pass that is shown, in the same unit
    areas: list[Area]  # of a run on masks
    boxes: list[FoundBox]  # of a detector, the surest first


class Layer(Schema):
    """One operation of the network."""

    name: str
    operation: str
    shape: list[int]  # without the batch
    channel_axis: int  # which of them holds the channels
    inputs: list[str]  # layers that it reads
    openable: bool
    kernel: list[int] | None
    stride: list[int] | None
    parameters: int
    multiply_adds: int
    field: list[int] | None  # input cells an axis that a cell in the middle sees
    jump: list[float] | None  # input cells an axis between neighbours
    has_kernels: bool


class Storey(Schema):
    """A layer with the norms and activations that follow it."""

    name: str  # of its first layer
    layers: list[str]  # in the order they run
    reads: list[str]  # names of storeys
    minor: bool  # only moves numbers


class Network(Schema):
    """All layers, and the storeys that they make."""

    layers: list[Layer]
    storeys: list[Storey]
    outputs: list[str]


class Block(Schema):
    """A part of a pack's bytes.

    "signed" are bytes around 128, with 1 and 255 standing for -limit and limit; "colour" bytes
    red, green, blue; "numbers" are float32, little-endian.
    """

    name: str
    kind: Literal["signed", "colour", "numbers"]
    shape: list[int]
    offset: int  # in bytes, behind the header
    limit: float
    channels: list[int]  # of the layer, or planes shown; empty where it means nothing


class PackHeader(Schema):
    """What comes first in a pack: four bytes of length, this as JSON, then the blocks."""

    blocks: list[Block]
    activity: list[float]  # mean size of each channel of the layer; empty where not asked for


class SourceTerm(Schema):
    """An earlier number that a cell was made of, and what it was multiplied by."""

    node: str | None  # None: a weight, or a zero of the padding
    index: list[int] | None
    role: str
    value: Number
    weight: Number | None
    product: Number | None


class Plane(Schema):
    """Window x kernel of one input channel, rows of cells flattened."""

    channel: int
    window: list[Number]
    kernel: list[Number]
    products: list[Number]


class Window(Schema):
    """The window that slides over the layer's input."""

    kind: Literal["sum", "maximum"]
    node: str | None  # the layer that it lies on
    space: list[int]  # its cells an axis
    positions: list[list[int]]  # of each of its cells in the input; outside of it: padding
    sources: list[list[int]]  # the cell read there; -1: none, a zero
    channels: list[int]
    channel_sums: list[Number]  # in the order of `channels`
    planes: list[Plane]  # of the channels with the largest sums, and the one asked for
    winner: list[int] | None  # of a maximum: channel, then position


class Read(Schema):
    """The part of an earlier layer that a cell reads: first and last, an axis, channel first."""

    node: str
    box: list[list[int]]


class CellStep(Schema):
    """One operation's value at the cell, and what it was computed from."""

    node: str
    operation: str
    formula: str
    computed: Number  # by the network, in float32
    expected: Number  # here, in float64
    difference: Number
    tolerance: Number
    within: bool
    bias: Number | None
    numbers: dict[str, Number]  # on the way, by name
    sources: list[SourceTerm]
    rest: Number | None
    rest_count: int
    reads: list[Read]
    window: Window | None


class RefusedStep(Schema):
    """An operation whose arithmetic is not known: named, never guessed."""

    node: str
    operation: str
    refused: str


class Cell(Schema):
    """A place of a storey: its first layer's value, then what norms and activations make of it."""

    layer: str  # that was asked for
    index: list[int]  # channel, then position
    shape: list[int]
    storey: str
    steps: list[CellStep | RefusedStep]
    field: list[list[int]] | None  # first and last (slice,) row and column of the input it sees
    field_exact: bool


class Training(Schema):
    """How the training went."""

    columns: dict[str, list[float | None]]  # history.csv
    best_epoch: int | None
    snapshots: list[int]  # epochs
    pictures: list[str]  # sample ids of the maps in the snapshots


class ConfusedPair(Schema):
    """Two classes taken for one another."""

    truth: str
    predicted: str
    n: int
    share: float


class Errors(Schema):
    """Where the answers for the test part went wrong."""

    wrong: int
    total: int
    classes: list[str]
    matrix: list[list[int]] | None  # a row a truth, a column an answer
    pairs: list[ConfusedPair]


class WhyMethod(Schema):
    """A way to make a map of what speaks for an answer."""

    name: str
    summary: str
    at_layer: bool
    needs_versus: bool
    missing: str | None  # what it needs and has not got


class WhyMethods(Schema):
    """What can be asked."""

    methods: list[WhyMethod]
    usual: str  # which is taken when none is asked for
    layers: list[str]  # that hold maps


class Attribution(Schema):
    """A map's own account; its values come as a pack."""

    method: str
    layer: str | None
    place: str | None  # of a picture with many answers: the one that is explained, in words
    mark: list[float] | None  # and where: left, top, right, bottom
    slice: int | None  # of a scan: in which slice
    predicted: str  # by the plain pass of the network that was asked
    explained: str
    versus: str | None
    score: float  # the explained number: an output before softmax, or a difference of two
    baseline: str | None
    claimed: float | None  # what its values should sum to
    gap: float | None
    seconds: float
    remarks: list[str]


class CheckCurve(Schema):
    """The answer while parts go, and come, in a map's order."""

    fill: str
    deletion: list[float]
    insertion: list[float]


class CheckRow(Schema):
    """How one map did: the one asked about, or one that knows nothing of the network."""

    name: str
    order: float  # insertion less deletion
    patches: float | None  # rank correlation with what single parts do
    curves: list[CheckCurve]


class AttributionCheck(Schema):
    """Whether a map is true, beside maps that know nothing."""

    sentence: str
    alarms: list[str]
    rows: list[CheckRow]
    randomised: float | None
    other_target: float | None
    agreement: dict[str, float | None]
    forward_passes: int
    seconds: float


class MapShares(Schema):
    """What each map of a layer speaks for an answer."""

    layer: str
    explained: str  # the class, or "the number"
    place: str | None  # of a picture with many answers
    score: float  # the explained number: an output before softmax
    shares: list[float]  # a number a channel: values times gradients, summed over the map


class OneAnswer(Schema):
    """An answer, for comparing two."""

    score: float  # the explained output
    share: float | None  # its calibrated probability; null for a number
    answer: str | None  # the likeliest class, where there is one of several


class WithoutMap(Schema):
    """The answer with one map of a layer at zero, beside the answer as it is."""

    layer: str
    channel: int
    explained: str
    place: str | None
    before: OneAnswer
    after: OneAnswer


class PatchIndexing(Schema):
    """Whether the best patches are known, and how far the looking for them is."""

    ready: bool
    running: bool
    done: int  # samples
    total: int
    problem: str | None
    layers: list[str]  # whose channels have patches, or will have them


class Patch(Schema):
    """What one cell of a channel saw of one sample."""

    sample: str
    value: float
    at: list[int]  # channel, then position
    box: list[list[int]]  # first and last (slice,) row and column of the picture


class Patches(Schema):
    """The patches of different samples that excite a channel most, and least."""

    layer: str
    channel: int
    samples: int  # that were looked through
    highest: list[Patch]
    lowest: list[Patch]
