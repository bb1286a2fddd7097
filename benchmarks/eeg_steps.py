"""What does a training step on EEG cost, beside braindecode: the same networks, batch and trials?

EEGNet, ShallowConvNet, Deep4 and ATCNet on batches of 64 trials of 22 electrodes and 1,000 samples
(noise with the spectrum of EEG, float32), dropout as each is published, AdamW. Ours is the step of
`vitreous train` (scaling, the network in its fast form, clipping, AdamW, max-norm, the average of
the weights), in float32 and in bfloat16. Beside it the same module of
braindecode, same weights: eager float32, bfloat16 autocast, and `EEGClassifier` as its users run it
(skorch's loop, its data loader and callbacks; no validation). All take turns in one process, one
step each; ratios are medians over turns of the ratio within a turn. An epoch is 288 trials of
training and 72 of validation. Inference is one trial at a time, evaluation mode.

    python -m benchmarks.eeg_steps [--turns 15] [--network NAME ...] [--no-keep]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.results import FOLDER, keep
from vitreous.convolution.fast.form import using_form
from vitreous.data.transforms import fit_trial_scaling
from vitreous.files import read_json
from vitreous.inference import PLAIN, Compute
from vitreous.networks import build_network
from vitreous.networks.braindecode_weights import load_braindecode
from vitreous.runs.set_up import new_training
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.eeg_recipes import eeg_recipe
from vitreous.training.loop import Training, batches_of_epoch, end_epoch, train_step

BATCH, ELECTRODES, SAMPLES, CLASSES = 64, 22, 1000, 4
PAIRS = {
    "eegnet": "EEGNet",
    "shallowconvnet": "ShallowFBCSPNet",
    "deep4": "Deep4Net",
    "atcnet": "ATCNet",
}
TARGETS = {  # times faster than: EEGClassifier, the best of eager and autocast
    "eegnet": (8, 5),
    "shallowconvnet": (5, 4),
    "deep4": (4, 3),
    "atcnet": (4, 3),
}
TRAINED, VALIDATED = 288, 72  # trials of an epoch


def trials(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a 1/f spectrum, deviation 1, and labels."""
    generator = np.random.default_rng(seed)
    spectrum = np.fft.rfft(generator.standard_normal((count, ELECTRODES, SAMPLES)))
    spectrum /= np.maximum(1, np.arange(spectrum.shape[-1])) ** 0.5
    signals = np.fft.irfft(spectrum, n=SAMPLES)
    return (signals / signals.std()).astype(np.float32), generator.integers(0, CLASSES, count)


def their_module(name: str, seed: int = 0) -> nn.Module:
    """The module of braindecode, as it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from braindecode import models

        torch.manual_seed(seed)
        return getattr(models, PAIRS[name])(n_chans=ELECTRODES, n_times=SAMPLES, n_outputs=CLASSES)


def our_network(name: str) -> nn.Module:
    """Ours, with the weights of `their_module`."""
    network = build_network(name, (1, ELECTRODES, SAMPLES), CLASSES)
    load_braindecode(network, their_module(name).state_dict())
    return network


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
    classifier.initialize()

    def epoch() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            classifier.partial_fit(signals, labels)

    return epoch


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


def one_trial(forward: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor):
    """An answer to one trial; networks are in evaluation mode."""

    def answer() -> None:
        with torch.no_grad():
            forward(inputs)

    return answer


def interleaved(ways: dict[str, Callable[[], None]], turns: int, warm: int = 2, repeat: int = 1):
    """Milliseconds of each way, in turn; the first turns are not counted."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(warm + turns):
        for way, call in ways.items():
            started = time.perf_counter()
            for _ in range(repeat):
                call()
            if turn >= warm:
                found[way].append(1000 * (time.perf_counter() - started) / repeat)
    return found


def parity(name: str) -> dict[str, float]:
    """Largest differences to braindecode's module in float32, dropout off, as shares.

    In answers in evaluation, and after one step's backward pass in gradients of the weights that
    compute, beside those of the plain form in float64, and running statistics of all norms. Where a
    max-pooling takes another of two nearly equal samples, gradients jump, in any form.
    """
    signals, labels = trials(BATCH, seed=5)
    inputs, targets = torch.from_numpy(signals), torch.from_numpy(labels)
    theirs, ours = their_module(name), our_network(name)
    for network in (ours, theirs):
        for module in network.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.p = 0.0
    with torch.no_grad(), using_form("fast"):
        expected, got = theirs.eval()(inputs), ours.eval()(inputs[:, None])
    found = {"answers": _share(got, expected)}
    with using_form("fast"):
        nn.functional.cross_entropy(ours.train()(inputs[:, None]), targets).backward()
    plain = our_network(name)
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    plain.double().train()
    nn.functional.cross_entropy(plain(inputs.double()[:, None]), targets).backward()
    gradients = {key: p.grad for key, p in plain.named_parameters() if p.grad is not None}
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    single = our_network(name)  # the plain form in float32: what rounding does by itself
    for module in single.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    nn.functional.cross_entropy(single.train()(inputs[:, None]), targets).backward()
    for what, network in (("gradients", ours), ("gradients, of the plain form", single)):
        found[what] = max(
            float((p.grad.double() - gradients[key]).abs().max())
            / _size_of_gradient(float(gradients[key].abs().max()), largest)
            for key, p in network.named_parameters()
            if p.grad is not None
        )
    nn.functional.cross_entropy(theirs.train()(inputs), targets)
    buffers = dict(ours.named_buffers())
    reference = our_network(name)
    load_braindecode(reference, theirs.state_dict())
    found["statistics"] = max(
        _share(buffers[key], value)
        for key, value in reference.named_buffers()
        if value.is_floating_point()
    )
    return found


def _size_of_gradient(own: float, largest: float) -> float:
    """What a difference is a share of: a hundredth of the network's largest gradient at least.

    A bias in front of a norm has none: what is there is rounding beside all the others.
    """
    return largest if own < 1e-10 * largest else max(own, 0.01 * largest)


def _share(got: torch.Tensor, expected: torch.Tensor) -> float:
    difference = (got.double() - expected.double()).abs().max()
    return float(difference / expected.double().abs().max().clamp(min=1e-3))


def measured(name: str, turns: int) -> list[dict]:
    """The rows of one network."""
    signals, labels = trials(TRAINED + VALIDATED)
    inputs = torch.from_numpy(signals[:BATCH])
    targets = torch.from_numpy(labels[:BATCH])
    steps = interleaved(
        {
            "ours": our_step(name, signals[:BATCH], labels[:BATCH], False),
            "ours, bfloat16": our_step(name, signals[:BATCH], labels[:BATCH], True),
            "braindecode eager": their_step(name, inputs, targets, False),
            "braindecode autocast": their_step(name, inputs, targets, True),
            "EEGClassifier": their_classifier(name, signals[:BATCH], labels[:BATCH], False),
        },
        turns,
    )
    epochs = interleaved(
        {
            "ours": our_epoch(name, signals, labels, False),
            "ours, bfloat16": our_epoch(name, signals, labels, True),
            "EEGClassifier": their_classifier(name, signals, labels, True),
        },
        max(3, turns // 5),
        warm=1,
    )
    one = torch.from_numpy(signals[:1])
    single = interleaved(
        {
            "ours": one_trial(PLAIN.forward_of(our_network(name).eval()), one[:, None]),
            "braindecode": one_trial(their_module(name).eval(), one),
        },
        turns,
        repeat=20,
    )
    rows = [_row(f"{name}: {way}, ms a step", times) for way, times in steps.items()]
    rows += _ratios(name, steps)
    rows += [_row(f"{name}: {way}, ms an epoch", times) for way, times in epochs.items()]
    rows.append(_ratio(f"{name}, epoch: EEGClassifier to ours", epochs, "EEGClassifier"))
    rows += [_row(f"{name}: {way}, ms a single trial", times) for way, times in single.items()]
    rows.append(_ratio(f"{name}, one trial: braindecode to ours", single, "braindecode", bar=3))
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
    path = FOLDER / "eeg_steps.json"
    rows = read_json(path)["rows"] if path.is_file() else []
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
