"""What does a training step on EEG cost, beside braindecode: the same networks, batch and trials?

EEGNet, ShallowConvNet, Deep4 and ATCNet on batches of 64 trials of 22 electrodes and 1,000 samples
(noise with the spectrum of EEG, float32), dropout as each is published, AdamW. Ours is the step of
`vitreous train` (scaling, the network in its fast form, clipping, AdamW, max-norm, the average of
the weights), in float32 and in bfloat16. Beside it the same module of braindecode, same weights:
eager float32, bfloat16 autocast, and `EEGClassifier` as its users run it (skorch's loop, its data
loader and callbacks; no validation). All take turns, one step each: ours in this process with freed
memory kept, as `vitreous train` keeps it, theirs in a process that has the C library's usual
settings; one waits while the other computes. Ratios are medians over turns of the ratio within a
turn. An epoch is 288 trials of training and 72 of validation. Inference is one trial at a time,
50 in a turn and the median of them, float32: the function that `predict` calls beside the module in
evaluation mode without gradients, and `predict_proba` of both classifiers. Parity is that of
`eeg_parity`.

    python -m benchmarks.eeg_steps [--turns 15] [--network NAME ...] [--no-keep]
"""

import argparse
import multiprocessing
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.eeg_networks import BATCH, CLASSES, PAIRS, our_network, their_module, trials
from benchmarks.eeg_parity import parity
from benchmarks.results import keep, kept_rows
from vitreous.data.transforms import fit_trial_scaling
from vitreous.inference import PLAIN, Compute
from vitreous.runs.estimator import EEGClassifier
from vitreous.runs.set_up import new_training
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.eeg_recipes import eeg_recipe
from vitreous.training.loop import Training, batches_of_epoch, end_epoch, train_step
from vitreous.training.memory import freed_memory_kept

TARGETS = {  # times faster than: EEGClassifier, the best of eager and autocast
    "eegnet": (8, 5),
    "shallowconvnet": (5, 4),
    "deep4": (4, 3),
    "atcnet": (4, 3),
}
TRAINED, VALIDATED = 288, 72  # trials of an epoch
TRIALS = 50  # answered one after the other in a turn: the median of them counts
REST_S = 0.05


def their_step(name: str, inputs: torch.Tensor, targets: torch.Tensor, low: bool):
    """One step of braindecode's module in a plain loop."""
    module = their_module(name).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if low else nullcontext():
            loss = nn.functional.cross_entropy(module(inputs), targets)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def our_training(
    name: str, signals: np.ndarray, labels: np.ndarray, low: bool, validated: int = 0
) -> Training:
    """A training as `vitreous train` has it, by the network's recipe, without recombined trials.

    The last `validated` trials are its validation part.
    """
    rows = np.arange(len(signals))
    count = len(rows) - validated
    trials_in_front, targets = signals[:, None], torch.from_numpy(labels)
    scaling = fit_trial_scaling(trials_in_front, rows[:count])
    data = TrainingData(trials_in_front, targets, rows[:count], rows[count:], scaling)
    return new_training(
        Classify(tuple(map(str, range(CLASSES)))),
        data,
        our_network(name),
        replace(eeg_recipe(name, TRAINED), recombined_segments=0, batch_size=BATCH),
        Compute(dtype="bfloat16" if low else "float32"),
        seed=0,
        planned_steps=10_000,
    )


def our_step(name: str, signals: np.ndarray, labels: np.ndarray, low: bool):
    """One step of ours on a batch: scaling, optimiser, norm limits and weight average included."""
    training = our_training(name, signals, labels, low)
    pixels, targets = torch.from_numpy(signals)[:, None], torch.from_numpy(labels)

    def step() -> None:
        train_step(training, pixels, targets)
        training.state.step += 1

    return step


def their_classifier(name: str, signals: np.ndarray, labels: np.ndarray, validate: bool):
    """One epoch of EEGClassifier over the trials given."""
    classifier = classifier_of_theirs(name, validate)

    def epoch() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            classifier.partial_fit(signals, labels)

    return epoch


def classifier_of_theirs(name: str, validate: bool = False):
    """braindecode's EEGClassifier, ready to be trained, as its users make it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from braindecode import EEGClassifier
        from skorch.dataset import ValidSplit

    split = ValidSplit(TRAINED // VALIDATED + 1, stratified=False) if validate else None
    classifier = EEGClassifier(
        their_module(name),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        batch_size=BATCH,
        train_split=split,
        max_epochs=1,
        verbose=0,
        classes=list(range(CLASSES)),
    )
    return classifier.initialize()


def our_epoch(name: str, signals: np.ndarray, labels: np.ndarray, low: bool):
    """One epoch of ours over the trials given: shuffled batches, then the validation part."""
    training = our_training(name, signals, labels, low, VALIDATED)

    def epoch() -> None:
        for batch in batches_of_epoch(training):
            training.state.loss_sum += train_step(training, batch.pixels, batch.targets)
            training.state.step += 1
            training.state.batch += 1
        end_epoch(training)

    return epoch


def our_trial(
    name: str, signals: np.ndarray, labels: np.ndarray
) -> dict[str, Callable[[], object]]:
    """Ways to answer for the first trial: a network, and a classifier after one step."""
    answer, alone = PLAIN.answers_of(our_network(name)), torch.from_numpy(signals[:1])[:, None]
    ours = EEGClassifier(name, epochs=1).fit(signals[:BATCH], labels[:BATCH])
    return {
        "ours": lambda: answer(alone),
        "ours, predict_proba": lambda: ours.predict_proba(signals[:1]),
    }


def their_ways(name: str, kind: str) -> dict[str, Callable[[], object]]:
    """braindecode's ways of a step, of an epoch, or of a single trial."""
    signals, labels = trials(TRAINED + VALIDATED)
    first = signals[:BATCH]
    if kind == "step":
        inputs, targets = torch.from_numpy(first), torch.from_numpy(labels[:BATCH])
        return {
            "braindecode eager": their_step(name, inputs, targets, False),
            "braindecode autocast": their_step(name, inputs, targets, True),
            "EEGClassifier": their_classifier(name, first, labels[:BATCH], False),
        }
    if kind == "epoch":
        return {"EEGClassifier": their_classifier(name, signals, labels, True)}
    module, one = their_module(name).eval(), torch.from_numpy(signals[:1])
    theirs = classifier_of_theirs(name)

    def of_module() -> None:
        with torch.no_grad():
            module(one)

    return {
        "braindecode": of_module,
        "EEGClassifier, predict_proba": lambda: theirs.predict_proba(signals[:1]),
    }


def milliseconds(call: Callable[[], object], repeat: int) -> float:
    """Of one call, the median of so many; of short ones the first is not counted.

    Before it everything rests: the threads of the other process look for work a while longer, on
    the same cores.
    """
    time.sleep(REST_S)
    if repeat > 1:
        call()
    took = []
    for _ in range(repeat):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return 1000 * median(took)


def _serve(name: str, kind: str, threads: int, pipe) -> None:
    """Their process: it is asked for a way and how often, and says the milliseconds."""
    torch.set_num_threads(threads)
    ways = their_ways(name, kind)
    pipe.send(list(ways))
    while (asked := pipe.recv()) is not None:
        way, repeat = asked
        pipe.send(milliseconds(ways[way], repeat))


def interleaved(
    name: str,
    kind: str,
    ours: Mapping[str, Callable[[], object]],
    turns: int,
    warm: int = 2,
    repeat: int = 1,
) -> dict[str, list[float]]:
    """Milliseconds of each way, ours and theirs in turn; the first turns are not counted."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(name, kind, torch.get_num_threads(), there))
    process.start()
    try:
        theirs = here.recv()
        found: dict[str, list[float]] = {way: [] for way in (*ours, *theirs)}
        for turn in range(warm + turns):
            for way in found:
                if way in ours:
                    took = milliseconds(ours[way], repeat)
                else:
                    here.send((way, repeat))
                    took = here.recv()
                if turn >= warm:
                    found[way].append(took)
        here.send(None)
    finally:
        process.join(5)
        process.terminate()
    return found


def measured(name: str, turns: int) -> list[dict]:
    """The rows of one network."""
    signals, labels = trials(TRAINED + VALIDATED)
    first, targets = signals[:BATCH], labels[:BATCH]
    with freed_memory_kept():
        ours = {
            "ours": our_step(name, first, targets, False),
            "ours, bfloat16": our_step(name, first, targets, True),
        }
        steps = interleaved(name, "step", ours, turns)
        ours = {
            "ours": our_epoch(name, signals, labels, False),
            "ours, bfloat16": our_epoch(name, signals, labels, True),
        }
        epochs = interleaved(name, "epoch", ours, max(5, turns // 3), warm=1)
    single = interleaved(name, "trial", our_trial(name, signals, labels), turns, repeat=TRIALS)
    rows = [_row(f"{name}: {way}, ms a step", times) for way, times in steps.items()]
    rows += _ratios(name, steps)
    rows += [_row(f"{name}: {way}, ms an epoch", times) for way, times in epochs.items()]
    rows.append(_ratio(f"{name}, epoch: EEGClassifier to ours", epochs, "EEGClassifier",
                       TARGETS[name][0]))  # fmt: skip
    rows += [_row(f"{name}: {way}, ms a single trial", times) for way, times in single.items()]
    rows.append(_ratio(f"{name}, one trial: braindecode to ours", single, "braindecode", bar=3))
    classifiers = {way: single[way] for way in single if "predict_proba" in way}
    rows.append(_ratio(f"{name}, one trial: EEGClassifier's predict_proba to ours", classifiers,
                       "EEGClassifier, predict_proba"))  # fmt: skip
    rows += [
        {"what": f"{name}: largest difference in {what}, share", "value": float(f"{value:.2g}")}
        for what, value in parity(name).items()
    ]
    return rows


def _ratios(name: str, steps: dict[str, list[float]]) -> list[dict]:
    best = min(("braindecode eager", "braindecode autocast"), key=lambda way: median(steps[way]))
    classifier, module = TARGETS[name]
    return [
        _ratio(f"{name}, step: EEGClassifier to ours", steps, "EEGClassifier", classifier),
        _ratio(f"{name}, step: best of braindecode's ({best[12:]}) to ours", steps, best, module),
    ]


def _ratio(what: str, found: dict[str, list[float]], way: str, bar: float | None = None) -> dict:
    """To the faster of our two number formats."""
    ours = min((each for each in found if each.startswith("ours")), key=lambda w: median(found[w]))
    said = what + (" (bfloat16)" if "bfloat16" in ours else " (float32)")
    ratios = (np.array(found[way]) / np.array(found[ours])).tolist()
    row = _row(said, ratios)
    return row if bar is None else {**row, "bar": f"at least {bar}"}


def _row(what: str, values: list[float]) -> dict:
    low, high = np.quantile(values, [0.25, 0.75])
    return {
        "what": what,
        "value": float(f"{median(values):.4g}"),
        "spread": f"{low:.3g} to {high:.3g}",
    }


def of_others(measured_now: list[str]) -> list[dict]:
    """The rows of networks that are not measured now, as they were kept: one at a time will do."""
    rows = kept_rows("eeg_steps")
    return [row for row in rows if not row["what"].startswith(tuple(measured_now))]


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--network", nargs="*", default=list(PAIRS))
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("--no-keep", action="store_true")
    options = parser.parse_args()
    rows = [row for name in options.network for row in measured(name, options.turns)]
    if options.no_keep:
        print("\n".join(f"{row['what']:75} {row['value']}" for row in rows))
        return
    import braindecode

    rows = [row for name in PAIRS for row in (*rows, *of_others(options.network))
            if row["what"].startswith(name)]  # fmt: skip
    notes = (
        f"braindecode {braindecode.__version__}; {torch.get_num_threads()} threads; medians, "
        f"spread: quartiles; {options.turns} turns. {options.note}"
    )
    question = "What does a training step on EEG cost, beside braindecode?"
    keep("eeg_steps", question, rows, notes, command="python -m benchmarks.eeg_steps")


if __name__ == "__main__":
    main()
