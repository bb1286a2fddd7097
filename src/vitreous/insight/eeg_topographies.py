"""Spatial filters and their patterns on the head, side by side and labelled (MNE, extra `eeg`)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.errors import RequestError
from vitreous.files import write_bytes
from vitreous.insight.eeg_filters import KernelSpectrum, SpatialFilter

ROWS = 8  # filters in one figure, at most


def write_topographies(
    path: Path,
    filters: Sequence[SpatialFilter],
    spectra: Sequence[KernelSpectrum],
    channels: Sequence[str],
    positions_m: np.ndarray,
) -> None:
    """A PNG with a row a filter: response in Hz, filter (weights), pattern (source), atomically.

    `positions_m` (channels, 3) are head coordinates in metres; channels without a place (NaN) are
    left out of the maps. `spectra` has one a filter. Of more than `ROWS` filters the first are
    shown. Raises `RequestError` without MNE, and where fewer than four channels have a place.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    draw, placed = _drawing(channels, positions_m)
    shown = list(zip(filters, spectra, strict=True))[:ROWS]
    figure, axes = plt.subplots(
        len(shown), 3, figsize=(8, 2.2 * len(shown)), squeeze=False, layout="constrained"
    )
    try:
        for row, (each, spectrum) in zip(axes, shown, strict=True):
            row[0].plot(spectrum.frequencies_hz, spectrum.gain, color="black", linewidth=1)
            row[0].set_xlabel("frequency (Hz)")
            row[0].set_ylabel("gain")
            row[0].set_title(f"map {each.map}: peak {spectrum.peak_hz:.1f} Hz", fontsize=9)
            draw(each.weights[placed], row[1])
            row[1].set_title("filter: weights of the electrodes", fontsize=9)
            if each.pattern is None:
                row[2].set_axis_off()
            else:
                draw(each.pattern[placed], row[2])
            row[2].set_title("pattern: where the signal shows", fontsize=9)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
        write_bytes(path, content.getvalue())
    finally:
        plt.close(figure)


def _drawing(channels: Sequence[str], positions_m: np.ndarray) -> tuple[Any, np.ndarray]:
    """A function that draws values (channels,) on axes, and which channels have a place."""
    try:
        import mne
    except ImportError as error:
        raise RequestError(f"topographies need MNE ({error}); install vitreous[eeg]") from error
    placed = np.flatnonzero(np.isfinite(positions_m).all(axis=1))
    if len(placed) < 4:
        raise RequestError(
            f"only {len(placed)} channels have a place on the head; name the montage, or give "
            "channels their names of the 10-5 system"
        )
    names = [channels[int(place)] for place in placed]
    info = mne.create_info(names, 100.0, "eeg", verbose="error")
    places = dict(zip(names, positions_m[placed], strict=True))
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")

    def draw(values: np.ndarray, axes: Any) -> None:
        limit = float(np.abs(values).max()) or 1.0
        mne.viz.plot_topomap(
            values, info, axes=axes, show=False, cmap="RdBu_r", vlim=(-limit, limit), contours=4
        )

    return draw, placed
