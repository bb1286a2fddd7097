"""`python -m vitreous.convolution` prints the page docs/reference/kernels.md."""

from vitreous.convolution.kernels import KERNELS, kernel


def reference_page() -> str:
    """The table of kernels as Markdown."""
    return (
        "# Kernels\n\n"
        "What `vitreous convolve --kernel NAME` and `vitreous.convolution.kernel(NAME)` know. "
        "The kernels are laid on the input as they are (cross-correlation, as in the layers of "
        "networks). In pictures x runs to the right and y downwards.\n\n"
        "This page is printed by `python -m vitreous.convolution`.\n\n"
        f"## For pictures\n\n{_rows('picture')}\n"
        "## For signals\n\n"
        "The five bands are made for the sampling rate of the signal; their size is given for "
        "250 Hz.\n\n"
        f"{_rows('signal')}"
    )


def _rows(kind: str) -> str:
    lines = ["| Name | Size | Sum | What it does | Source |", "| --- | --- | --- | --- | --- |"]
    for name, entry in KERNELS.items():
        if entry.kind == kind:
            weights = kernel(name, sampling_rate_hz=250)
            size = " x ".join(map(str, weights.shape))
            total = round(float(weights.sum()), 3) + 0.0  # no minus zero
            lines.append(
                f"| `{name}` | {size} | {total:g} | {entry.description} | {entry.source} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference_page(), end="")
