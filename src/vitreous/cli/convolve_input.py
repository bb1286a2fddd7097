"""What `vitreous convolve` works on: a picture or a signal, a kernel, and the map they give."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vitreous.convolution import KERNELS, kernel
from vitreous.convolution.reference import NUMPY_PAD_MODES
from vitreous.convolution.settings import Pads, check_padding_mode, same_padding
from vitreous.errors import DataError, RequestError, VitreousError, unknown_name

NUMBER_FILES = (".npy", ".csv", ".tsv", ".txt")
PADDINGS = ("replicate", "reflect", "zeros", "circular", "valid")
DIRECT_TAPS = 121  # larger kernels are faster by FFT
FFT_NOISE = 1e-13  # of the largest value times the kernel's weights: float64 rounds to 1e-16
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, and what Pillow's "L" is


@dataclass(frozen=True)
class Input:
    """A picture or a signal as the convolution sees it: rounded grey levels, colours, samples."""

    kind: Literal["picture", "signal"]
    path: Path
    values: np.ndarray  # float64 (channels, height, width) or (channels, time)
    channel_names: tuple[str, ...]
    shown: np.ndarray  # what the file holds, for drawing: uint8 (height, width, 1 or 3), or values
    remark: str  # how the file was read
    sampling_rate_hz: float | None = None


@dataclass(frozen=True)
class Kernel:
    """A kernel by name or from a file: float64 (rows, columns) or (samples,)."""

    name: str
    values: np.ndarray
    description: str


@dataclass(frozen=True)
class FeatureMap:
    """The result: float64 (height, width) of a picture, (channels, time) of a signal."""

    values: np.ndarray
    weights: np.ndarray  # as a layer has them: (1, channels, *kernel)
    pads: Pads
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]
    engine: str  # what computed it, in words
    noise: float  # what an FFT over bright and dark parts together adds to every cell


def read_input(path: Path, sampling_rate_hz: float | None, channels: str) -> Input:
    """The picture or signal in a file. Raises `DataError` and `RequestError`."""
    if channels not in ("grey", "each"):
        raise unknown_name("--channels", channels, ["grey", "each"])
    if path.suffix.lower() in NUMBER_FILES:
        if channels == "each":
            raise RequestError(f"{path}: --channels each is for pictures in colour")
        return _read_signal(path, sampling_rate_hz)
    if sampling_rate_hz is not None:
        raise RequestError(f"{path}: a picture has no --sampling-rate")
    return _read_picture(path, channels)


def _read_picture(path: Path, channels: str) -> Input:
    from vitreous.data.pictures import read_picture

    pixels = read_picture(path, str(path)).pixels
    if pixels.shape[2] == 1:
        if channels == "each":
            raise RequestError(f"{path}: is grey; --channels each is for pictures in colour")
        values, names, remark = pixels.transpose(2, 0, 1).astype(float), ("grey",), "grey"
    elif channels == "each":
        values, names = pixels.transpose(2, 0, 1).astype(float), ("red", "green", "blue")
        remark = "in colour: the kernel on red, green and blue, and their sum"
    else:
        values, names = np.rint(pixels @ np.array(LUMINANCE))[None], ("grey",)
        remark = "as grey, 0.299 red + 0.587 green + 0.114 blue, rounded"
    return Input("picture", path, values, names, pixels, remark)


def _read_signal(path: Path, sampling_rate_hz: float | None) -> Input:
    if sampling_rate_hz is not None and not 0 < sampling_rate_hz < np.inf:
        raise RequestError(f"--sampling-rate {sampling_rate_hz:g}: give a number above 0, in Hz")
    values, names = read_numbers(path)
    values = np.atleast_1d(values)
    remark = "one row a channel"
    if values.ndim == 2 and values.shape[0] > values.shape[1]:
        values, remark = values.T, "one column a channel, since there are more rows than columns"
    elif values.ndim == 2 and names and values.shape[0] > 1:
        values, remark = values.T, "one column a channel, since they have names"
    if values.ndim == 1 or len(values) == 1:
        values, remark = values.reshape(1, -1), "one channel"
    if values.ndim != 2 or not values.size:
        raise DataError(
            f"{path}: has shape {values.shape}; a signal is (time,) or (channels, time)"
        )
    broken = np.argwhere(~np.isfinite(values))
    if len(broken):
        channel, sample = broken[0]
        raise DataError(
            f"{path}: {len(broken):,} values are not finite (first: channel {channel}, sample "
            f"{sample}); fill the gaps or cut them out"
        )
    if len(names) != len(values):
        names = tuple(f"channel {number}" for number in range(len(values)))
    return Input("signal", path, values, names, values, remark, sampling_rate_hz)


def read_numbers(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers in a .npy, .csv, .tsv or .txt file, and the names in its first line, if any.

    Text may be separated by commas, semicolons (then with decimal commas, too), tabs or spaces.
    """
    try:
        if path.suffix.lower() == ".npy":
            loaded = np.load(path, allow_pickle=False)
            if loaded.dtype.kind not in "fiub":
                raise DataError(f"{path}: holds {loaded.dtype}, not real numbers")
            return loaded.astype(float), ()
        return _numbers_of_text(path)
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else "broken"
        raise DataError(f"{path}: not readable as numbers ({reason})") from None


def _numbers_of_text(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise DataError(f"{path}: is empty")
    separator = next((mark for mark in (";", "\t", ",") if mark in lines[0]), None)
    if separator == ";":
        lines = [line.replace(",", ".") for line in lines]
    cells = [cell.strip().strip('"') for cell in lines[0].split(separator)]
    names = () if all(_is_number(cell) for cell in cells) else tuple(cells)
    rows = lines[1:] if names else lines
    if not rows:
        raise DataError(f"{path}: has a line of names and no numbers")
    return np.loadtxt(rows, delimiter=separator, ndmin=2), names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_kernel(name: str, given: Input) -> Kernel:
    """The kernel of that name or in that file, fit for the input. Raises `RequestError`."""
    if name in KERNELS:
        return _named_kernel(name, given)
    path = Path(name)
    if path.suffix.lower() not in NUMBER_FILES:
        if path.exists():
            known = ", ".join(NUMBER_FILES)
            raise RequestError(f"{path}: a kernel is read from {known} files")
        names = [known for known, entry in KERNELS.items() if entry.kind == given.kind]
        raise unknown_name(f"kernel for a {given.kind}", name, names)
    values, _ = read_numbers(path)
    if given.kind == "picture":
        values = np.atleast_2d(values)
    elif values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    axes = {"picture": 2, "signal": 1}[given.kind]
    if values.ndim != axes or not values.size or not np.isfinite(values).all():
        raise DataError(
            f"{path}: has shape {values.shape}; a kernel for a {given.kind} has {axes} "
            f"{'axes' if axes == 2 else 'axis'} of finite numbers"
        )
    return Kernel(path.stem, values, f"from {path}")


def _named_kernel(name: str, given: Input) -> Kernel:
    entry = KERNELS[name]
    if entry.kind != given.kind:
        names = ", ".join(sorted(known for known in KERNELS if KERNELS[known].kind == given.kind))
        raise RequestError(
            f"kernel '{name}' is for a {entry.kind}, {given.path} is a {given.kind}. "
            f"Known for it: {names}"
        )
    if entry.needs_sampling_rate and given.sampling_rate_hz is None:
        raise RequestError(f"kernel '{name}' needs --sampling-rate, in Hz")
    try:
        values = kernel(name, sampling_rate_hz=given.sampling_rate_hz)
    except VitreousError as error:
        raise RequestError(f"kernel '{name}': {error}") from None
    return Kernel(name, values, entry.description)


def apply(given: Input, chosen: Kernel, padding: str) -> FeatureMap:
    """The feature map, by the fast path: one map of a picture, one line a channel of a signal."""
    if padding not in PADDINGS:
        raise unknown_name("--padding", padding, PADDINGS)
    sizes, kernel_size = given.values.shape[1:], chosen.values.shape
    axes = zip(sizes, kernel_size, strict=True)
    pads = tuple((0, 0) if padding == "valid" else same_padding(*axis) for axis in axes)
    mode = "zeros" if padding == "valid" else padding
    _check_fit(given, chosen, pads, mode)
    padded = np.pad(given.values, ((0, 0), *pads), mode=NUMPY_PAD_MODES[mode])  # type: ignore
    picture = given.kind == "picture"
    taps = chosen.values if picture else chosen.values[None]  # a signal's channels stay apart
    planes = padded if picture else padded[None]
    by_fft = taps.size > DIRECT_TAPS
    fast = _with_fft if by_fft else _directly
    values = np.sum([fast(plane, taps) for plane in planes], axis=0)
    return FeatureMap(
        values=values,
        weights=np.repeat(chosen.values[None, None], len(planes), axis=1),
        pads=pads,
        padding_mode=mode,  # type: ignore
        engine="SciPy by FFT, float64" if by_fft else "SciPy, float64",
        noise=float(FFT_NOISE * np.abs(padded).max() * np.abs(taps).sum()) if by_fft else 0.0,
    )


def _check_fit(given: Input, chosen: Kernel, pads: Pads, mode: str) -> None:
    sizes = given.values.shape[1:]
    check_padding_mode(mode, pads, sizes)
    if any(k > n + sum(p) for k, n, p in zip(chosen.values.shape, sizes, pads, strict=True)):
        kernel_size = " x ".join(map(str, chosen.values.shape))
        size = " x ".join(map(str, sizes))
        raise RequestError(
            f"kernel '{chosen.name}' ({kernel_size}) is larger than {given.path} ({size}); "
            "choose a smaller one, or a --padding other than valid"
        )


def _directly(plane: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The cross-correlation where the kernel lies wholly on the (rows, columns) of `plane`."""
    from scipy.ndimage import correlate

    answer = correlate(plane, taps, mode="constant")  # as large as the plane, the kernel centred
    rows, columns = (n - k + 1 for n, k in zip(plane.shape, taps.shape, strict=True))
    top, left = (k // 2 for k in taps.shape)
    return answer[top : top + rows, left : left + columns]


def _with_fft(plane: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The same for large kernels: a convolution with the turned kernel, in blocks."""
    from scipy.signal import oaconvolve

    return oaconvolve(plane, taps[::-1, ::-1], mode="valid")
