"""What the first weights may have seen of the pictures that a run is scored on."""

import re
from collections.abc import Iterable

from vitreous.data.samples import Sample
from vitreous.networks.csp_start import CSP
from vitreous.runs.run import Run

IMAGENET_NAME = re.compile(r"(^|/)n\d{8}(_|/)")
"""A wnid in a path: `n01440764_10026.jpg`, `n01440764/10026.jpg`."""


def seen_warnings(run: Run, samples: Iterable[Sample]) -> list[str]:
    """A sentence where the pictures to be scored may be among those the weights were trained on.

    It cannot be looked up: the training pictures of public weights are not at hand. So it is said
    for all weights that come from elsewhere, and pictures that carry ImageNet's names are counted.
    """
    card = run.record.network
    if card.get("weights", "none") in ("none", CSP):  # of elsewhere: nothing
        return []
    seen = card.get("weights_seen") or "data that is not named"
    what = "trials" if run.of_trials else "scans" if run.of_scans else "pictures"
    sentence = (
        f"the network started from {card['weights']}, trained on {seen}: {what} of the test part "
        "may be among them, and then these scores are flattered"
    )
    named = sum(bool(IMAGENET_NAME.search(sample.path)) for sample in samples)
    if named and "ImageNet" in seen:
        sentence += f"; {named:,} of them carry names as ImageNet's pictures do"
    return [sentence]
