"""True files in the formats that MNE reads but does not write, made byte by byte for tests.

All take values in volts (channels, time) and marks (sample, name); names of marks are numbers in
the formats that know nothing else. Layouts: GDF 2.2 (A. Schlögl, arXiv:cs/0608052), BDF (BioSemi's
description of its format), CNT (P. Bourke's notes on Neuroscan's header), EGI simple binary
(Net Station's file formats, 2006).
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Marks = Sequence[tuple[int, str]]
MICROVOLT = 1e-6


def write_gdf(path: Path, values: np.ndarray, names: Sequence[str], rate: int, marks: Marks) -> int:
    """GDF 2.20 of float32 microvolts, records of one second. Returns the header's length."""
    count, samples = values.shape
    blocks = 1 + count
    head = b"GDF 2.20".ljust(8) + b"X X".ljust(66, b"\0") + bytes(10 + 4) + bytes(64 + 16)
    head += bytes(8 + 8) + struct.pack("<H", blocks) + bytes(6 + 8 + 6 + 6 + 12 + 12)
    head += struct.pack("<qIIHH", samples // rate, 1, 1, count, 0)
    assert len(head) == 256
    columns = [b"".join(name.encode().ljust(16, b"\0") for name in names), bytes((80 + 6) * count)]
    columns.append(struct.pack("<H", 4275) * count)  # microvolts
    columns += [struct.pack("<d", end) * count for end in (-3000.0, 3000.0, -3000.0, 3000.0)]
    columns.append(bytes((68 + 12) * count))
    columns += [struct.pack("<i", rate) * count, struct.pack("<i", 16) * count]
    columns.append(bytes((12 + 20) * count))
    records = (values / MICROVOLT).reshape(count, -1, rate).transpose(1, 0, 2).astype("<f4")
    table = b"\x03" + len(marks).to_bytes(3, "little") + struct.pack("<f", rate)
    table += np.array([at + 1 for at, _ in marks], "<u4").tobytes()
    table += np.array([int(name) for _, name in marks], "<u2").tobytes()
    table += bytes(2 * len(marks)) + np.full(len(marks), rate, "<u4").tobytes()
    content = head + b"".join(columns)
    assert len(content) == 256 * blocks
    path.write_bytes(content + records.tobytes() + table)
    return len(content)


def write_bdf(path: Path, values: np.ndarray, names: Sequence[str], rate: int, marks: Marks) -> int:
    """BDF of 24 bits a sample, 1/32 microvolt each, marks in the channel `Status`."""
    count, samples = values.shape
    all_names = [*names, "Status"]
    status = np.zeros(samples)
    for at, name in marks:
        status[at : at + 10] = int(name)
    digital = np.concatenate([np.round(values / MICROVOLT * 32), status[None]]).astype("<i4")
    size = 256 * (count + 2)
    top = 2**23

    def cells(width: int, entries: Sequence[object]) -> bytes:
        return b"".join(str(entry).encode().ljust(width) for entry in entries)

    head = b"\xffBIOSEMI" + cells(80, ["", ""]) + b"01.01.2001.01.01" + cells(8, [size])
    head += cells(44, ["24BIT"]) + cells(8, [samples // rate, 1]) + cells(4, [count + 1])
    every = count + 1
    head += cells(16, all_names) + cells(80, ["electrode"] * every)
    head += cells(8, ["uV"] * count + ["Boolean"])
    head += cells(8, [-(top // 32)] * count + [-top]) + cells(8, [top // 32] * count + [top - 1])
    head += cells(8, [-top] * every) + cells(8, [top] * count + [top - 1])
    head += cells(80, [""] * every) + cells(8, [rate] * every) + cells(32, [""] * every)
    assert len(head) == size
    records = digital.reshape(every, -1, rate).transpose(1, 0, 2)
    three = np.ascontiguousarray(records).view(np.uint8).reshape(-1, 4)[:, :3]
    path.write_bytes(head + three.tobytes())
    return size


def write_cnt(path: Path, values: np.ndarray, names: Sequence[str], rate: int, marks: Marks) -> int:
    """Neuroscan CNT of 32 bits a sample, 0.01 microvolt each, marks of type 1."""
    count, samples = values.shape
    first = 900 + 75 * count
    head = bytearray(900)
    head[0:12] = b"Version 3.0\0"
    head[225:245] = b"01/01/01\0\0" + b"01:01:01\0\0"
    struct.pack_into("<H", head, 370, count)
    struct.pack_into("<H", head, 376, rate)
    struct.pack_into("<i", head, 864, samples)
    struct.pack_into("<i", head, 886, first + 4 * count * samples)
    electrodes = bytearray()
    for number, name in enumerate(names):
        one = bytearray(75)
        one[: len(name)] = name.encode()
        angle = 2 * np.pi * number / count
        struct.pack_into("<ff", one, 19, np.cos(angle), np.sin(angle))
        struct.pack_into("<f", one, 59, 204.8)
        struct.pack_into("<f", one, 71, 0.01)
        electrodes += one
    digital = np.round(values.T / (0.01 * MICROVOLT)).astype("<i4")
    marked = b"".join(
        struct.pack("<HBci", int(name), 0, b"\0", first + 4 * count * (at + 1))
        for at, name in marks
    )
    table = struct.pack("<Bii", 1, len(marked), 0) + marked
    path.write_bytes(bytes(head) + bytes(electrodes) + digital.tobytes() + table)
    return first


def write_egi(path: Path, values: np.ndarray, names: Sequence[str], rate: int, marks: Marks) -> int:
    """EGI simple binary of float32 microvolts, a track a kind of mark; channels have no names."""
    del names
    count, samples = values.shape
    kinds = sorted({name for _, name in marks})
    head = struct.pack(">ihhhhhhihhhhh", 4, 2001, 1, 1, 1, 1, 1, 0, rate, count, 1, 0, 0)
    head += struct.pack(">ih", samples, len(kinds)) + b"".join(k.encode().ljust(4) for k in kinds)
    frames = np.zeros((samples, count + len(kinds)), ">f4")
    frames[:, :count] = values.T / MICROVOLT
    for at, name in marks:
        frames[at, count + kinds.index(name)] = 1
    path.write_bytes(head + frames.tobytes())
    return len(head)


def write_set(path: Path, values: np.ndarray, names: Sequence[str], rate: int, marks: Marks) -> int:
    """EEGLAB's .set: a MATLAB file with microvolts and a structure of events."""
    from scipy.io import savemat

    count, samples = values.shape
    event = np.array(
        [(name, at + 1.0) for at, name in marks], dtype=[("type", object), ("latency", object)]
    )
    eeg = {
        "data": (values / MICROVOLT).astype(np.float32), "srate": float(rate), "nbchan": count,
        "pnts": samples, "trials": 1, "xmin": 0.0, "xmax": (samples - 1) / rate,
        "chanlocs": np.array([(name,) for name in names], dtype=[("labels", object)]),
        "event": event, "epoch": [], "setname": "x", "ref": "common", "icawinv": [],
        "icaweights": [], "icasphere": [], "icachansind": [],
    }  # fmt: skip
    savemat(path, {"EEG": eeg}, appendmat=False)
    return 128


WRITERS: dict[str, Callable[..., int]] = {
    ".gdf": write_gdf,
    ".bdf": write_bdf,
    ".cnt": write_cnt,
    ".raw": write_egi,
    ".set": write_set,
}
