"""Which compute path is the fastest here: a few real steps on each, timed in turn.

bfloat16 and channels-last maps do not always pay: with few channels, rearranging them costs more
than the arithmetic saves. So it is measured, on this machine, with this network and its pictures.
"""

from dataclasses import dataclass, replace
from itertools import product
from statistics import median

from torch import nn

from vitreous.inference import Compute
from vitreous.training.batches import Batch
from vitreous.training.cheaper_steps import full_steps
from vitreous.training.devices import can_compile, has_bfloat16, require_compiler
from vitreous.training.loop import Training, batches_of_epoch, train_step
from vitreous.training.memory import freed_memory_kept
from vitreous.training.plan import probe_of

SHARE = 0.05  # of the training's expected time, at most, for timing
MOST_SECONDS = 20.0
WORTH_TRYING_SECONDS = 30.0  # of training: a shorter one stays on the standing path
PICTURES = 128  # of a batch that are timed, at most: enough to tell the paths apart
FEW = 4  # pictures, at least
STEPS = 3  # timed in each turn of a path, after one that is not
TURNS = 7  # of each path, at most
LEFT_OUT = 1.5, 1.15  # after the first turn, after a later one: times the least; slower ones go
CLEARLY = 0.95  # a path is left only for one that takes less than this share of its time
COMPILING_SECONDS = 60.0  # about what it takes; it is tried where it may save more than that
COMPILING_SAVES = 0.15  # of a step, where it does


@dataclass(frozen=True)
class Wanted:
    """What the user fixes of the path; "auto" is measured."""

    precision: str = "auto"  # float32, bfloat16
    compile: str = "auto"  # yes, no
    own_network: bool = False  # of the user's own code: only what is asked for is changed


@freed_memory_kept()
def fastest_path(
    training: Training, wanted: Wanted, *, steps: int | None, seconds: float | None
) -> tuple[Compute, list[str]]:
    """The path for a training, and a sentence for people where it was measured.

    The training will take `steps`, or `seconds` where that is None. All is done on a copy. Where
    the training is too short for trying, or all is fixed, nothing is timed and the path stays as
    `training.compute` has it. Raises `RequestError` when compiling is asked for where it cannot be.
    """
    path = training.compute
    if wanted.precision != "auto":
        path = replace(path, dtype=wanted.precision, why=f"{path.why}; --precision was given")
    if wanted.compile == "yes":
        require_compiler(path.device, training.processes)
        path = replace(path, compiled=True, why=f"{path.why}; --compile was given")
    eager = [path]
    if wanted.precision == "auto" and not wanted.own_network:
        eager = _others(path, training.network)
    may_compile = wanted.compile == "auto" and not wanted.own_network
    may_compile = may_compile and not training.processes.several
    if len(eager) == 1 and not may_compile:
        return path, []
    short = replace(path, why=f"{path.why}; too short a training to try other paths")
    timer = Timer(training)
    a_picture = timer.seconds_a_picture(path)
    expected = seconds if seconds is not None else (steps or 1) * timer.batch_size * a_picture
    if expected < WORTH_TRYING_SECONDS:
        return short, []
    affordable = SHARE * expected / ((STEPS + 1) * a_picture)  # pictures in a step of every path
    if affordable < FEW * len(eager):  # the number format matters more than the layout
        eager = [other for other in eager if _differs_in_format_alone(other, path)]
    if affordable < FEW * len(eager):
        return short, []
    timer.take(min(PICTURES, int(affordable / len(eager))))
    timer.deadline = timer.now() + min(MOST_SECONDS, SHARE * expected)
    best = timer.fastest_of(eager)
    if may_compile and worth_compiling(path.device):
        best = _compiled_if_it_pays(timer, best, expected)
    timings = timer.milliseconds()
    said = ", ".join(f"{name} {value:.4g}" for name, value in timings.items())
    step = f"ms a step of {len(timer.batch.pixels)} samples"
    why = f"the fastest of what was timed here ({step}: {said})"
    chosen = replace(best, why=f"{path.why}; {why}", timings=timings)
    return chosen, [f"computed in {path_name(chosen)}: {why}"]


class Timer:
    """Times real steps of a training on copies of its network, path by path."""

    def __init__(self, training: Training) -> None:
        self.training = probe_of(training)
        self.training.recipe = full_steps(training.recipe)
        self.now = training.processes.now  # several take their steps, and decisions, together
        self.whole = next(batches_of_epoch(self.training))
        self.batch_size = training.processes.agreed(float(len(self.whole.pixels)))
        self.deadline = float("inf")
        self.seconds: dict[str, list[float]] = {}
        self.take(FEW)

    def take(self, pictures: int) -> None:
        """From now on a step is one of so many pictures, at most a batch."""
        pixels, targets = self.whole.pixels[:pictures], self.whole.targets[:pictures]
        self.batch = Batch(pixels, targets, len(pixels))

    def seconds_a_picture(self, path: Compute) -> float:
        """Of a second step on few pictures (the first is slow): enough to see what can be tried."""
        probe = replace(self.training, compute=path)
        train_step(probe, self.batch.pixels, self.batch.targets)
        started = self.now()
        train_step(probe, self.batch.pixels, self.batch.targets)
        return (self.now() - started) / len(self.batch.pixels)

    def seconds_of(self, path: Compute) -> float:
        """Seconds of a step, the median of a few, after the first ones, which are slow."""
        self._turn(path)
        self.seconds.pop(path_name(path))
        self._turn(path)
        return self.median(path)

    def fastest_of(self, paths: list[Compute]) -> Compute:
        """The fastest one; the first, unless another is clearly faster.

        They take turns, so that what else the machine does meets them alike. The first steps of
        each, in which kernels are made ready, do not count; what is much slower is left out.
        """
        for path in paths:
            self._turn(path, steps=1)
            self.seconds.pop(path_name(path))
        left = list(paths)
        for turn in range(TURNS):
            for path in left:
                self._turn(path)
            most = LEFT_OUT[min(turn, 1)] * min(map(self.median, left))
            left = [path for path in left if self.median(path) < most]
            if len(left) == 1 or self.now() > self.deadline:
                break
        best = min(paths, key=self.median)
        return best if self.median(best) < CLEARLY * self.median(paths[0]) else paths[0]

    def milliseconds(self) -> dict[str, float]:
        """Median milliseconds a step, by path, the fastest first."""
        found = {name: round(1000 * median(times), 3) for name, times in self.seconds.items()}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _turn(self, path: Compute, steps: int = STEPS) -> None:
        probe = replace(self.training, compute=path)
        times = self.seconds.setdefault(path_name(path), [])
        for number in range(steps + 1):
            started = self.now()
            train_step(probe, self.batch.pixels, self.batch.targets)
            if number:
                times.append(self.now() - started)

    def median(self, path: Compute) -> float:
        """Median seconds a step, so far."""
        return median(self.seconds[path_name(path)])


def worth_compiling(device: str) -> bool:
    """Whether it is tried where nobody asks for it: on processors it was slower for each of four
    networks (docs/decisions/0009-the-compute-path-is-timed.md).
    """
    return device != "cpu" and can_compile(device)


def _others(path: Compute, network: nn.Module) -> list[Compute]:
    """The standing path and, behind it, the other number formats and layouts.

    Of a network with a fast form, which lays out its maps itself, both forms in the plain layout.
    """
    formats = ("float32", "bfloat16") if has_bfloat16(path.device) else ("float32",)
    if has_fast_form(network):
        path = replace(path, memory_format="contiguous")
        every = [
            replace(path, form=form, dtype=dtype)
            for form, dtype in product(("fast", "plain"), formats)
        ]
        return [path, *(other for other in every if other != path)]
    layouts = ("channels_last", "contiguous")
    if any(parameter.ndim == 5 for parameter in network.parameters()):
        layouts = ("contiguous",)  # channels last is for maps of two dimensions
    every = [
        replace(path, dtype=dtype, memory_format=layout)
        for dtype, layout in product(formats, layouts)
    ]
    return [path, *(other for other in every if other != path)]


def _differs_in_format_alone(path: Compute, standing: Compute) -> bool:
    """Whether it is the standing path, but for the number format."""
    return path == replace(standing, dtype=path.dtype)


def _compiled_if_it_pays(timer: Timer, best: Compute, expected: float) -> Compute:
    """The path compiled, where that saves more of the expected seconds than the compiling takes."""
    if COMPILING_SAVES * expected < COMPILING_SECONDS:
        return best
    compiled = replace(best, compiled=True)
    started = timer.now()
    try:
        timer.seconds_of(compiled)
    except Exception:  # a machine's compiler can fail in any way; the plain path is there
        timer.seconds.pop(path_name(compiled), None)
        return best
    took = timer.now() - started
    timer.deadline = timer.now() + MOST_SECONDS
    if timer.fastest_of([best, compiled]) == best:
        return best
    saved = expected * (1 - timer.median(compiled) / timer.median(best))
    return compiled if saved > took else best


def has_fast_form(network: nn.Module) -> bool:
    """Whether any part of the network has an equivalent fast form."""
    return any(getattr(module, "has_fast_form", False) for module in network.modules())


def path_name(path: Compute) -> str:
    """The path in words.

    >>> path_name(Compute(dtype="bfloat16", memory_format="channels_last"))
    'bfloat16 channels last'
    """
    layout = path.memory_format.replace("_", " ")
    form = " plain form" if path.form == "plain" else ""
    return f"{path.dtype} {layout}{form}" + (" compiled" if path.compiled else "")
