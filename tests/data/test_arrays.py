""".npz files, arrays in memory and PyTorch data sets: every layout gives the same pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from vitreous.data import stacks
from vitreous.data.arrays import from_arrays, from_dataset
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError

RANDOM = np.random.default_rng(3)
COLOUR = RANDOM.integers(0, 256, (12, 9, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
LABELS = np.arange(12) % 3


def read_all(source):
    return [source.read(sample, None).pixels for sample in source.samples]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (torch.from_numpy(COLOUR).permute(0, 3, 1, 2), COLOUR),
        (GREY, GREY[..., None]),
        (GREY[..., None], GREY[..., None]),
        (GREY[:, None], GREY[..., None]),
        (COLOUR / 255, COLOUR),
        ((COLOUR / 255).astype(np.float32), COLOUR),
        (COLOUR.astype(np.float64), COLOUR),
        (COLOUR.astype(np.int64), COLOUR),
        (GREY.astype(np.uint16) * 257, GREY[..., None]),
        (GREY > 99, ((GREY > 99) * 255)[..., None]),
    ],
)
def test_layouts_and_number_types(pixels, expected):
    found = read_all(from_arrays(pixels, LABELS))
    assert found[0].dtype == np.uint8
    np.testing.assert_array_equal(np.stack(found), expected)


def test_numbers_between_two_bytes_are_rounded():
    pixels = np.array([[[0.0, 0.999, 0.4999 / 255, 0.5001 / 255, 1.0]]])
    found = read_all(from_arrays(pixels, ["a"]))[0][0, :, 0]
    np.testing.assert_array_equal(found, [0, 255, 0, 1, 255])


def test_transparency_is_laid_on_white():
    alpha = RANDOM.integers(0, 256, (12, 9, 7, 1), dtype=np.uint8)
    found = np.stack(read_all(from_arrays(np.concatenate([COLOUR, alpha], 3), LABELS)))
    share = alpha / 255
    assert np.abs(found - (COLOUR * share + 255 * (1 - share))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREY.reshape(12, 63), r"shape \(12, 63\) is no stack of pictures"),
        (np.zeros((5, 64)), r"reshape to \(5, 8, 8\)"),
        (np.zeros((5, 9, 9, 9)), "volumes and other signals are no pictures"),
        (np.zeros((5, 0, 9)), "is no stack of pictures"),
        (COLOUR / 255 - 0.5, r"values from -0.5 to .* \(already normalised"),
        (COLOUR.astype(np.int32) * 9, "int32 values from 0 to 2295"),
        (np.where(GREY.max() == GREY, np.nan, GREY), "NaN"),
        (np.array([["a"]]), "is no stack of pictures"),
        (np.full((2, 3, 3), "a"), "<U1 values are no pixels"),
    ],
)
def test_arrays_that_are_no_pictures(pixels, words):
    with pytest.raises(DataError, match=f"^pixels: .*{words}"):
        from_arrays(pixels, LABELS[: len(pixels)])


def test_splits_groups_and_names():
    split = ["train"] * 8 + ["valid"] * 4
    source = from_arrays(COLOUR, LABELS, split, [f"p{n // 2}" for n in range(12)], ["x", "y", "z"])
    assert [s.split for s in source.samples] == ["train"] * 8 + ["test"] * 4
    assert source.samples[5].group == "p2"
    assert [s.label for s in source.samples][:4] == ["x", "y", "z", "x"]
    assert len({s.sample_id for s in source.samples}) == 12
    assert source.files == ()
    for wrong in ({"split": ["train"]}, {"groups": [1]}):
        with pytest.raises(DataError, match=r"1 for 12 pictures; one each is needed"):
            from_arrays(COLOUR, LABELS, **wrong)
    with pytest.raises(DataError, match="11 for 12 pictures"):
        from_arrays(COLOUR, LABELS[:11])
    with pytest.raises(DataError, match="'later' is neither train, val nor test"):
        from_arrays(COLOUR, LABELS, ["later"] * 12)


def test_numbers_to_predict():
    source = from_arrays(COLOUR, np.linspace(0, 1, 12), task="regress")
    assert source.label_kind == "number"
    assert source.samples[11].label == 1.0


class Pictures(Dataset):
    """As users write them: PIL pictures and a class."""

    def __init__(self, make):
        self.make = make
        self.fetched = 0

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.fetched += 1
        return self.make(COLOUR[index]), int(LABELS[index])


@pytest.mark.parametrize(
    "make",
    [
        Image.fromarray,
        np.array,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1) / 255,
    ],
)
def test_a_torch_data_set(make):
    source = from_dataset(Pictures(make))
    np.testing.assert_array_equal(np.stack(read_all(source)), COLOUR)
    assert [s.label for s in source.samples] == [str(n) for n in LABELS]


def test_targets_spare_fetching_every_item():
    dataset = Pictures(Image.fromarray)
    dataset.targets = LABELS.tolist()
    dataset.classes = ["ant", "bee", "cat"]
    source = from_dataset(dataset)
    assert dataset.fetched == 0
    assert source.classes == ("ant", "bee", "cat")


def test_data_sets_that_do_not_fit():
    source = from_dataset(Pictures(lambda pixels: torch.randn(3, 9, 7)))
    with pytest.raises(DataError, match=r"Pictures#0: float32 values .*already normalised"):
        source.read(source.samples[0], None)
    with pytest.raises(DataError, match=r"item 0: not a pair \(picture, label\)"):
        from_dataset(TensorDataset(torch.zeros(4, 3, 8, 8)))


@pytest.fixture(params=["plain", "packed", "packed through a file"])
def save(request, tmp_path, monkeypatch):
    if request.param == "packed through a file":
        monkeypatch.setattr(stacks, "IN_MEMORY_BYTES", 10)
    write = np.savez if request.param == "plain" else np.savez_compressed

    def save(**arrays):
        write(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def test_npz_as_keras_names_it(save):
    path = save(x_train=COLOUR[:8], y_train=LABELS[:8], x_test=COLOUR[8:], y_test=LABELS[8:])
    source = recognise(path)
    assert source.kind == "npz arrays"
    np.testing.assert_array_equal(np.stack(read_all(source)), COLOUR)
    assert [s.split for s in source.samples] == ["train"] * 8 + ["test"] * 4
    assert source.samples[8].sample_id == "data.npz/x_test#0"
    assert source.files == (path,)
    assert recognise(path.parent).samples == source.samples


def test_npz_as_medmnist_names_it(save):
    arrays = {}
    for part, rows in {"train": slice(0, 6), "val": slice(6, 9), "test": slice(9, 12)}.items():
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = GREY[rows], LABELS[rows, None]
    source = recognise(save(**arrays))
    assert [s.split for s in source.samples] == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    np.testing.assert_array_equal(np.stack(read_all(source))[..., 0], GREY)


def test_npz_with_names_groups_and_fortran_order(save):
    path = save(
        X=np.asfortranarray(COLOUR), y=LABELS, groups=np.arange(12) // 2,
        class_names=np.array(["ä", "b", "c"]),
    )  # fmt: skip
    source = recognise(path)
    np.testing.assert_array_equal(np.stack(read_all(source)), COLOUR)
    assert source.classes == ("ä", "b", "c")
    assert [s.group for s in source.samples][:4] == ["0", "0", "1", "1"]


def test_npz_arrays_by_name(save):
    path = save(images=COLOUR, age=np.arange(12) / 2, site=np.arange(12) % 2)
    source = recognise(path, label="age", group="site", task="regress")
    assert source.samples[3].label == 1.5
    assert source.samples[3].group == "1"
    with pytest.raises(RequestError, match="no array 'place' for groups; has images, age, site"):
        recognise(path, label="age", group="place", task="regress")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": COLOUR}, "has the arrays a; x_train with y_train"),
        ({"x": COLOUR, "y": LABELS[:5]}, "x has 12 pictures, but y 5 labels"),
        ({"x": COLOUR, "y": np.array([{"a": 1}] * 12)}, "holds Python objects, which can run code"),
        ({"x": COLOUR.reshape(12, -1), "y": LABELS}, "is no stack of pictures"),
        ({"x_val": COLOUR, "y_val": LABELS, "x_test": COLOUR, "y_test": LABELS}, "no train"),
    ],
)
def test_npz_that_cannot_be_used(save, arrays, words):
    path = save(**arrays)
    with pytest.raises(DataError, match=words) as caught:
        recognise(path)
    assert str(path) in str(caught.value)


def test_npz_broken(save):
    path = save(x=COLOUR, y=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[:-50])
    with pytest.raises(DataError, match="truncated or damaged"):
        recognise(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="truncated or damaged"):
        recognise(path)


def test_plain_npz_is_mapped_not_read(tmp_path):
    np.savez(tmp_path / "data.npz", x=COLOUR, y=LABELS)
    from vitreous.data.arrays import _load

    assert isinstance(_load(tmp_path / "data.npz", "x"), np.memmap)
