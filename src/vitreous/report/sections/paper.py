"""The result as a paragraph that can stand in a paper."""

from collections.abc import Mapping
from typing import Any

from vitreous.data.preprocessing import Preprocessing
from vitreous.report.markup import Html, tag
from vitreous.report.parts import paragraph
from vitreous.report.payload import Payload
from vitreous.report.words import (
    capital,
    interval,
    metric_value,
    metric_words,
    of_these,
    sample_word,
    short_count,
)


def for_the_paper(name: str, payload: Payload) -> Html:
    """A paragraph to copy: what was trained on what, and the score beside the baselines."""
    run = payload["run"]
    how = (run.get("data") or {}).get("split_how")
    sentences = [
        _trained(payload),
        _recorded(run),
        _result(name, payload["evaluation"] or {}),
        f"Split: {how.rstrip('.')}." if how else "",
        f"Random seed {run.get('seed')}.",
    ]
    return tag(
        "aside",
        {"class": "paper", "aria-labelledby": "paper-title"},
        tag("h3", {"id": "paper-title"}, "For the paper"),
        paragraph(" ".join(filter(None, sentences))),
    )


def _trained(payload: Payload) -> str:
    run, parts = payload["run"], (payload["split"] or {}).get("parts", {})
    network, versions = run.get("network") or {}, run.get("versions") or {}
    word = sample_word(run)
    said = f"We trained {network.get('name', 'a convolutional network')}"
    if network.get("parameters"):
        said += f" ({short_count(network['parameters'])} parameters)"
    if network.get("weights", "none") != "none":
        said += f", starting from the weights {network['weights']}"
        said += f" (trained on {network['weights_seen']})," if network.get("weights_seen") else ","
    said += f" with Vitreous {versions.get('vitreous', '')} (PyTorch {versions.get('torch', '')})"
    if (run.get("recipe") or {}).get("keep") == "last" and "train" in parts:
        said += f" on {of_these(parts['train']['n'], word)}, kept the last epoch's weights"
    elif "train" in parts and "val" in parts:
        said += f" on {of_these(parts['train']['n'], word)}, chose the weights on "
        said += of_these(parts["val"]["n"], f"validation {word}")
    n = (payload["evaluation"] or {}).get("n")
    tested = of_these(n, f"test {word}")
    return f"{said} and evaluated once on {tested}."


def _recorded(run: Mapping[str, Any]) -> str:
    """What trials of recordings are, and what was done to them."""
    trials = (run.get("data") or {}).get("trials")
    if not trials:
        return ""
    start, stop = trials["window_s"]
    chain = Preprocessing.from_json(trials["preprocessing"])
    said = (
        f"Trials: {len(trials['channels'])} channels, {start:g} to {stop:g} s, "
        f"{trials['sampling_rate_hz']:g} Hz, {chain.words}"
    )
    pieces = (run.get("recipe") or {}).get("recombined_segments")
    if pieces:
        said += f"; in training each stood beside one recombined from {pieces} pieces of its class"
    return f"{said}."


def _result(name: str, evaluation: Mapping[str, Any]) -> str:
    score = evaluation["metrics"][name]
    unit, span = score.get("unit"), interval(name, score, score.get("unit"))
    said = f"{capital(metric_words(name))} was {metric_value(name, score['value'], unit)}"
    said += f" (95 % CI {span})" if span else ""
    for title, metrics in (evaluation.get("baselines") or {}).items():
        if (metrics.get(name) or {}).get("value") is not None:
            said += f"; {title}: {metric_value(name, metrics[name]['value'], unit)}"
    return said + "."
