"""Which channels and which rate all recordings have in common, and what is repaired."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitreous.data.preprocessing import AVERAGE, Preprocessing
from vitreous.data.recordings.channels import channel_kinds, electrode, positions_of, tidy_names
from vitreous.data.recordings.formats import CutRecording, Header, Recording, load_mne
from vitreous.data.recordings.settings import RecordingSettings, TrialFormat
from vitreous.data.recordings.sidecars import ChannelRow
from vitreous.errors import DataError, RequestError, unknown_name

FEWEST_AROUND = 4  # good channels with known places, for a bad one to be made from them


@dataclass(frozen=True)
class Selection:
    """What every trial will have."""

    channels: tuple[str, ...]
    chain: Preprocessing  # with the common rate at its end, where rates differ
    notes: tuple[str, ...]
    reference_channels: tuple[str, ...] = ()  # whose mean is subtracted; empty without a reference
    repaired_from_all: bool = True  # False: bad channels are made from `channels` alone


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
    if settings.like is not None:
        return like_the_run(settings.like, settings.chain)
    found = {
        path: tidy_and_kinds(header.names, header.kinds, tables[path])
        for path, header in headers.items()
    }
    notes: list[str] = []
    first = next(iter(found))
    eeg = {
        path: [name for name, kind in zip(names, kinds, strict=True) if kind == "eeg"]
        for path, (names, kinds) in found.items()
    }
    common = tuple(name for name in eeg[first] if all(name in some for some in eeg.values()))
    if settings.channels:
        channels = chosen_channels(settings.channels, found[first][0])
        for path, (names, _) in found.items():
            missing = [name for name in channels if name not in names]
            if missing:
                raise DataError(f"{path}: has no channel {', '.join(missing)} of --channels")
    else:
        channels = common
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
        notes += no_eeg_words(other)
    rates = sorted({header.sampling_rate_hz for header in headers.values()})
    chain = settings.chain
    if len(rates) > 1 and chain.resample_hz is None:
        chain = replace(chain, resample_hz=rates[0])
        shown = ", ".join(f"{rate:g}" for rate in rates)
        notes.append(f"sampling rates differ ({shown} Hz): all are brought to {rates[0]:g} Hz")
    chain, reference, said = settled_reference(chain, channels, common, found[first][0])
    for path, (names, _) in found.items():
        if any(name not in names for name in reference):
            raise DataError(
                f"{path}: has no channel {reference[0]} of --reference; leave it out with --only, "
                "or use another reference"
            )
    return Selection(channels, chain, (*notes, *said), reference)


def settled_reference(
    chain: Preprocessing, channels: Sequence[str], eeg: Sequence[str], names: Sequence[str]
) -> tuple[Preprocessing, tuple[str, ...], list[str]]:
    """The chain with its reference as the channel is called, its channels, and what to say of it.

    An average is over all `eeg` channels, another reference one of all `names`; neither need be
    chosen. Raises `RequestError` for what is no channel.
    """
    if chain.reference is None:
        return chain, (), []
    if chain.reference == AVERAGE:
        reference = tuple(eeg) or tuple(channels)
        if set(reference) <= set(channels):
            return chain, reference, []
        return chain, reference, [
            f"the reference is the average of all {len(reference)} EEG channels that were "
            "recorded, not of the chosen ones alone"
        ]  # fmt: skip
    name = known_channel(chain.reference, names)
    if name is None:
        raise unknown_name("reference", chain.reference, [AVERAGE, *names])
    return replace(chain, reference=name), (name,), []


def no_eeg_words(names: Sequence[str]) -> list[str]:
    """What is said of channels that are left out for what they are."""
    if not names:
        return []
    return [f"no EEG, so left out: {_some(names)} (--channels takes any by name)"]


def like_the_run(like: TrialFormat, chain: Preprocessing) -> Selection:
    """What trials must have to be cut as a run's were.

    Runs that did not keep what their reference was taken from took it, and repaired bad channels,
    from the chosen channels alone: so it is done for them still.
    """
    chain = chain.at_rate(like.sampling_rate_hz)
    if like.reference_channels is not None:
        return Selection(like.channels, chain, (), like.reference_channels)
    reference = () if chain.reference is None else (chain.reference,)
    if chain.reference == AVERAGE:
        reference = like.channels
    elif chain.reference:
        known = {name.lower(): name for name in like.channels}
        reference = (known.get(chain.reference.lower(), chain.reference),)
    return Selection(like.channels, chain, (), reference, repaired_from_all=False)


def chosen_channels(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """The channels in `C3,Cz,EEG Fp1-Ref`, by their names here. Raises `RequestError`."""
    found = []
    for wanted in filter(None, (part.strip() for part in text.split(","))):
        name = known_channel(wanted, names)
        if name is None:
            raise unknown_name("channel", wanted, names)
        found.append(name)
    if not found:
        raise RequestError("--channels is empty; write names with commas, such as C3,Cz,C4")
    return tuple(dict.fromkeys(found))


def known_channel(wanted: str, names: Sequence[str]) -> str | None:
    """The one of `names` that is meant, in whatever case or spelling; None where there is none."""
    known = {name.lower(): name for name in names}
    return known.get(wanted.lower()) or known.get((electrode(wanted) or "").lower())


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


def reference_rows(names: Sequence[str], selection: Selection, path: str) -> list[int]:
    """Where the channels are that the reference is taken from. Raises `DataError` where not all."""
    missing = [name for name in selection.reference_channels if name not in names]
    if missing:
        raise DataError(
            f"{path}: has no channel {_some(missing)}, which the reference "
            f"({selection.chain.reference}) of the others or of the run is taken from; rename it "
            "in the file, or train with another --reference"
        )
    return [list(names).index(name) for name in selection.reference_channels]


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

    Perrin et al. 1989, as MNE does it; not a number where one of the others is none. None where a
    place is unknown or too few are left.
    """
    places = positions_of(names)
    if places is None or not np.isfinite(places).all() or len(names) - len(bad) < FEWEST_AROUND:
        return None
    mne = load_mne()
    raw = mne.io.RawArray(
        np.nan_to_num(values), mne.create_info(list(names), rate_hz, "eeg"), verbose="error"
    )
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)), coord_frame="head"
    )
    raw.set_montage(montage, verbose="error")
    raw.info["bads"] = list(bad)
    raw.interpolate_bads(reset_bads=True, verbose="error")
    made = raw.get_data()
    others = [row for row, name in enumerate(names) if name not in bad]
    unknown = np.flatnonzero(np.isnan(values[others].sum(axis=0)))
    for row in set(range(len(names))) - set(others):
        made[row, unknown] = np.nan
    return made


def _nothing_common(eeg: dict[str, list[str]]) -> str:
    shown = "; ".join(f"{path}: {_some(names) or 'none'}" for path, names in list(eeg.items())[:3])
    return (
        f"{next(iter(eeg))}: no EEG channel is in all {len(eeg)} recordings ({shown}); "
        "choose recordings with --only, or channels with --channels"
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
