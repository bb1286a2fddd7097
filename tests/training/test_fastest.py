"""The compute path is chosen by timing, leaves no trace, and changes neither loss nor resuming."""

from dataclasses import replace

import pytest
import torch

from vitreous.errors import RequestError
from vitreous.inference import Compute
from vitreous.networks import build_network
from vitreous.training import fastest, loop
from vitreous.training.checkpoints import load_checkpoint, load_tensors
from vitreous.training.devices import can_compile, require_compiler, serving_compute
from vitreous.training.fastest import Wanted, fastest_path, path_name
from vitreous.training.loop import train
from vitreous.training.processes import Processes

# torch's own compiler still imports what torch has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.:DeprecationWarning")

STANDING = Compute(memory_format="channels_last", why="cpu is what this machine has")
BFLOAT16 = replace(STANDING, dtype="bfloat16")
FOUR = [f"{dtype} {layout}" for dtype in ("float32", "bfloat16")
        for layout in ("channels last", "contiguous")]  # fmt: skip


def residual(seed: int = 1):
    return build_network("resnet", (1, 8, 8), 10, seed=seed)


@pytest.fixture
def clock(monkeypatch):
    """Steps that take as many seconds of a made-up clock as `costs` says of their path."""
    now, costs = [0.0], {}

    def step(training, pixels, targets):
        assert len(pixels) == len(targets) <= 56  # the first batch of seven of 390
        now[0] += costs.get(path_name(training.compute), 1.0) * len(pixels) / 56

    monkeypatch.setattr(fastest, "train_step", step)
    monkeypatch.setattr(Processes, "now", lambda self: now[0])
    monkeypatch.setattr(fastest, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(fastest, "worth_compiling", lambda device: False)
    return costs


def chosen(make_training, wanted=None, **limits):
    training = make_training(network=residual(), compute=STANDING)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    limits = {"steps": 10_000, "seconds": None, **limits}
    found = fastest_path(training, wanted or Wanted(), **limits)
    after = training.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert training.state.step == 0
    return found


def test_the_fastest_path_is_taken_with_its_timings(make_training, clock):
    clock.update({"bfloat16 channels last": 0.5, "bfloat16 contiguous": 0.8})
    path, notes = chosen(make_training)
    assert (path.dtype, path.memory_format, path.compiled) == ("bfloat16", "channels_last", False)
    assert path.timings == {
        "bfloat16 channels last": 500.0,
        "bfloat16 contiguous": 800.0,
        "float32 channels last": 1000.0,
        "float32 contiguous": 1000.0,
    }
    assert notes[0].startswith("computed in bfloat16 channels last: the fastest of what was timed")


def test_the_standing_path_stays_unless_another_is_clearly_faster(make_training, clock):
    clock.update({"bfloat16 channels last": 0.97})
    assert chosen(make_training)[0].dtype == "float32"


def test_a_short_training_is_not_spent_on_timing(make_training, clock):
    path, notes = chosen(make_training, steps=29)
    assert replace(path, why=STANDING.why) == STANDING
    assert path.why.endswith("too short a training to try other paths")
    assert notes == []
    assert chosen(make_training, steps=None, seconds=29.0)[0].timings == {}
    assert chosen(make_training, steps=None, seconds=31.0)[0].timings


def test_where_little_can_be_timed_it_is_the_number_formats_on_few_pictures(
    make_training, clock, monkeypatch
):
    """31 steps of 56: 5 % of them are 86 pictures, of which four paths would have 5 a step."""
    seen = set()
    step = fastest.train_step
    monkeypatch.setattr(fastest, "train_step", lambda *a: (seen.add(len(a[1])), step(*a)))
    path, _ = chosen(make_training, steps=31)
    assert (set(path.timings), seen) == (set(FOUR), {4, 5})
    clock.update(dict.fromkeys(FOUR, 10.0))  # a step takes ten seconds, and there are four
    path, _ = chosen(make_training, steps=None, seconds=200.0)
    assert set(path.timings) == {"float32 channels last", "bfloat16 channels last"}
    assert not chosen(make_training, steps=None, seconds=40.0)[0].timings


def test_timing_takes_no_more_than_its_share(make_training, clock, monkeypatch):
    spent = []
    step = fastest.train_step
    monkeypatch.setattr(fastest, "train_step", lambda *a: (spent.append(len(a[1]) / 56), step(*a)))
    chosen(make_training, steps=2000)
    # two on few to know the pace, two of each path to make kernels ready, then the share
    assert sum(spent) <= 2 * 4 / 56 + 8 + 0.05 * 2000 + 16


def test_what_is_fixed_is_not_timed(make_training, clock):
    path, notes = chosen(make_training, Wanted("bfloat16", "no"))
    assert (path.dtype, path.timings, notes) == ("bfloat16", {}, [])
    assert "--precision" in path.why
    own = chosen(make_training, Wanted(own_network=True))[0]
    assert own == STANDING


def test_compiling_must_repay_itself(make_training, clock, monkeypatch):
    monkeypatch.setattr(fastest, "worth_compiling", lambda device: True)
    clock.update({"float32 channels last compiled": 0.5})
    assert chosen(make_training, steps=10_000)[0].compiled
    clock.update({"float32 channels last compiled": 0.99})
    assert not chosen(make_training, steps=10_000)[0].compiled
    clock.update({"float32 channels last": 0.03, "float32 channels last compiled": 0.01})
    assert not chosen(make_training, steps=10_000)[0].compiled  # 300 s are too few to try


def test_on_a_processor_compiling_is_for_those_who_ask(monkeypatch):
    monkeypatch.setattr(fastest, "can_compile", lambda device: True)
    assert not fastest.worth_compiling("cpu")
    assert fastest.worth_compiling("cuda")


def test_a_compiler_that_fails_leaves_the_plain_path(make_training, clock, monkeypatch):
    monkeypatch.setattr(fastest, "worth_compiling", lambda device: True)
    step = fastest.train_step

    def broken(training, *batch):
        if training.compute.compiled:
            raise OSError("no header Python.h")
        step(training, *batch)

    monkeypatch.setattr(fastest, "train_step", broken)
    path, _ = chosen(make_training)
    assert not path.compiled
    assert all("compiled" not in name for name in path.timings)


def test_compiling_without_a_compiler_is_refused_in_one_line(make_training, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RequestError, match=r"needs a compiler: install g\+\+"):
        chosen(make_training, Wanted(compile="yes"))


def test_real_steps_are_timed(make_training):
    path, _ = chosen(make_training, steps=450)
    assert len(path.timings) >= 2
    assert all(value > 0 for value in path.timings.values())


def test_bfloat16_learns_as_float32_does(make_training):
    """Loss by epoch and the best score, on real digits."""
    runs = {}
    for path in (STANDING, BFLOAT16):
        training = make_training(steps=110, network=residual(), compute=path)
        train(training)
        runs[path.dtype] = training
    losses = [
        [row["train_loss"] for row in runs[dtype].state.history]
        for dtype in ("float32", "bfloat16")
    ]
    assert len(losses[0]) == 16
    torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=0.05, atol=0)
    assert losses[0] != losses[1]
    best = [runs[dtype].state.best.value for dtype in ("float32", "bfloat16")]
    assert abs(best[0] - best[1]) < 0.03  # of 110 samples
    assert min(best) > 0.9
    kinds = {value.dtype for value in runs["bfloat16"].best_tensors.values()}
    assert kinds == {torch.float32, torch.int64}


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.acceptance)])
def test_a_killed_training_goes_on_to_the_same_weights(
    make_training, tmp_path, compiled, monkeypatch
):
    if compiled and not can_compile("cpu"):
        pytest.skip("no C++ compiler; install g++ to run this test")
    path = replace(BFLOAT16, compiled=compiled)
    # a few layers are compiled in less time than a residual network
    network = (lambda seed: None) if compiled else residual

    class Kill:
        def step(self, state, loss, pictures) -> None:
            if state.step == 5:
                raise SystemError("killed")

        def epoch(self, state, row) -> None: ...

    def training(name, **changes):
        return make_training(8, network=network(1), compute=path, folder=tmp_path / name, **changes)

    unbroken = training("unbroken")
    train(unbroken)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1.0)
    with pytest.raises(SystemError):
        train(training("broken", watchers=(Kill(),)))
    resumed = make_training(8, network=network(2), compute=path, folder=tmp_path / "broken")
    resumed.state = load_checkpoint(
        tmp_path / "broken", resumed.network, resumed.average, resumed.optimizers
    )
    resumed.best_tensors = load_tensors(tmp_path / "broken" / "network.safetensors")
    train(resumed)
    for tensors, others in (
        (resumed.network.state_dict(), unbroken.network.state_dict()),
        (resumed.best_tensors, unbroken.best_tensors),
    ):
        assert all(torch.equal(value, others[name]) for name, value in tensors.items())


def test_a_run_answers_on_its_own_path_as_far_as_it_is_there(monkeypatch):
    recorded = replace(BFLOAT16, compiled=True, timings={"bfloat16 channels last": 1.0}).to_json()
    monkeypatch.setattr("vitreous.training.devices.has_bfloat16", lambda device: True)
    assert serving_compute(recorded, "cpu").dtype == "bfloat16"
    monkeypatch.setattr("vitreous.training.devices.has_bfloat16", lambda device: False)
    assert serving_compute(recorded, "cpu").dtype == "float32"
    assert serving_compute({**recorded, "device": "cuda"}, "cpu").dtype == "float32"


def test_several_processes_do_not_compile():
    with pytest.raises(RequestError, match="several processes cannot compile"):
        require_compiler("cpu", Processes(0, 2))
