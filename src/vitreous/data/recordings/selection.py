"""Which channels and which rate all recordings have in common, and what is repaired."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitreous.data.preprocessing import Preprocessing
from vitreous.data.recordings.channels import channel_kinds, electrode, positions_of, tidy_names
from vitreous.data.recordings.formats import CutRecording, Header, Recording, load_mne
from vitreous.data.recordings.settings import RecordingSettings
from vitreous.data.recordings.sidecars import ChannelRow
from vitreous.errors import DataError, RequestError, unknown_name


@dataclass(frozen=True)
class Selection:
    """What every trial will have."""

    channels: tuple[str, ...]
    chain: Preprocessing  # with the common rate at its end, where rates differ
    notes: tuple[str, ...]


def tidy_and_kinds(
    names: Sequence[str], kinds: Sequence[str], table: dict[str, ChannelRow]
) -> tuple[tuple[str, ...], list[str]]:
    """Names as the 10-05 system writes them, and kinds as the table, the file and names say."""
    said = [
        (table[name].kind or kind) if name in table else kind
        for name, kind in zip(names, kinds, strict=True)
    ]
    return tidy_names(names), channel_kinds(names, said)


def select(
    headers: dict[str, Header],
    tables: dict[str, dict[str, ChannelRow]],
    settings: RecordingSettings,
) -> Selection:
    """The common channels and rate of recordings, by path. Raises `DataError` where none is common.

    With `settings.like` they are that network's.
    """
    found = {
        path: tidy_and_kinds(header.names, header.kinds, tables[path])
        for path, header in headers.items()
    }
    if settings.like is not None:
        chain = settings.chain.at_rate(settings.like.sampling_rate_hz)
        return Selection(settings.like.channels, chain, ())
    notes: list[str] = []
    first = next(iter(found))
    if settings.channels:
        channels = chosen_channels(settings.channels, found[first][0])
        for path, (names, _) in found.items():
            missing = [name for name in channels if name not in names]
            if missing:
                raise DataError(f"{path}: has no channel {', '.join(missing)} of --channels")
    else:
        eeg = {
            path: [name for name, kind in zip(names, kinds, strict=True) if kind == "eeg"]
            for path, (names, kinds) in found.items()
        }
        channels = tuple(name for name in eeg[first] if all(name in some for some in eeg.values()))
        if not channels:
            raise DataError(_nothing_common(eeg))
        left = sorted({name for some in eeg.values() for name in some} - set(channels))
        if left:
            notes.append(f"not in all recordings, so left out: {_some(left)}")
        other = list(
            dict.fromkeys(
                name
                for path, (names, kinds) in found.items()
                for name, kind, given in zip(names, kinds, headers[path].kinds, strict=True)
                if kind not in ("eeg", "stim") or (kind == "stim" and given != "stim")
            )
        )
        if other:
            notes.append(f"no EEG, so left out: {_some(other)} (--channels takes any by name)")
    rates = sorted({header.sampling_rate_hz for header in headers.values()})
    chain = settings.chain
    if len(rates) > 1 and chain.resample_hz is None:
        chain = replace(chain, resample_hz=rates[0])
        shown = ", ".join(f"{rate:g}" for rate in rates)
        notes.append(f"sampling rates differ ({shown} Hz): all are brought to {rates[0]:g} Hz")
    return Selection(channels, chain, tuple(notes))


def chosen_channels(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """The channels in `C3,Cz,EEG Fp1-Ref`, by their names here. Raises `RequestError`."""
    known = {name.lower(): name for name in names}
    found = []
    for wanted in filter(None, (part.strip() for part in text.split(","))):
        name = known.get(wanted.lower()) or known.get((electrode(wanted) or "").lower())
        if name is None:
            raise unknown_name("channel", wanted, names)
        found.append(name)
    if not found:
        raise RequestError("--channels is empty; write names with commas, such as C3,Cz,C4")
    return tuple(dict.fromkeys(found))


def rows_of(names: Sequence[str], wanted: Sequence[str], path: str) -> list[int]:
    """Where the wanted channels are. Raises `DataError` naming those that are not there."""
    place = {name: row for row, name in enumerate(names)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise DataError(
            f"{path}: has no channel {_some(missing)}, which the other recordings or the run have; "
            "rename it in the file, or train with --channels that all have"
        )
    return [place[name] for name in wanted]


def unusable(recording: Recording | CutRecording, rows: Sequence[int]) -> list[int]:
    """Of `rows`, the channels that are nothing throughout: constant, or mostly not a number."""
    found = []
    for row in rows:
        values = recording.values[..., row, :].ravel()
        good = np.isfinite(values)
        if good.mean() < 0.5 or np.ptp(values[good]) == 0:
            found.append(row)
    return found


def interpolated(
    values: np.ndarray, rate_hz: float, names: Sequence[str], bad: Sequence[str]
) -> np.ndarray | None:
    """Values (channels, time) with bad channels made from the others by spherical splines.

    Perrin et al. 1989, as MNE does it. None where a place is unknown or too few are left.
    """
    places = positions_of(names)
    if places is None or not np.isfinite(places).all() or len(names) - len(bad) < 4:
        return None
    mne = load_mne()
    raw = mne.io.RawArray(
        values.copy(), mne.create_info(list(names), rate_hz, "eeg"), verbose="error"
    )
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)), coord_frame="head"
    )
    raw.set_montage(montage, verbose="error")
    raw.info["bads"] = list(bad)
    raw.interpolate_bads(reset_bads=True, verbose="error")
    return raw.get_data()


def _nothing_common(eeg: dict[str, list[str]]) -> str:
    shown = "; ".join(f"{path}: {_some(names) or 'none'}" for path, names in list(eeg.items())[:3])
    return (
        f"{next(iter(eeg))}: no EEG channel is in all {len(eeg)} recordings ({shown}); "
        "choose recordings with --only, or channels with --channels"
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
