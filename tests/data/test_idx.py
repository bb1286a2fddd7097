"""IDX files: MNIST's own format, plain and packed, and all that can be wrong with a pair."""

import gzip

import numpy as np
import pytest

from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError

RANDOM = np.random.default_rng(7)


def idx_bytes(array: np.ndarray) -> bytes:
    lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Writes a small family member; gives its folder and its arrays."""

    def write(packed=False, dotted=False, colour=False, parts=("train", "t10k")):
        arrays = {}
        for part, count in zip(parts, (30, 10), strict=False):
            shape = (count, 8, 6, 3) if colour else (count, 8, 6)
            pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
            labels = np.arange(count) % 3
            axes = pixels.ndim
            for kind, array, name in (
                ("images", pixels, f"idx{axes}-ubyte"),
                ("labels", labels, "idx1-ubyte"),
            ):
                file = f"{part}-{kind}{'.' if dotted else '-'}{name}" + (".gz" if packed else "")
                content = idx_bytes(array)
                (tmp_path / file).write_bytes(gzip.compress(content) if packed else content)
            arrays[part] = pixels
        return tmp_path, arrays

    return write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_pixels_labels_and_splits(mnist, packed, dotted):
    root, arrays = mnist(packed, dotted)
    source = recognise(root)
    assert source.kind == "IDX files"
    assert (source.classes, source.label_kind) == (("0", "1", "2"), "class")
    assert [s.split for s in source.samples] == ["train"] * 30 + ["test"] * 10
    both = np.concatenate([arrays["train"], arrays["t10k"]])
    for row, sample in enumerate(source.samples):
        np.testing.assert_array_equal(source.read(sample, None).pixels[..., 0], both[row])
        assert sample.label == str(sample.index % 3)
        assert sample.sample_id == f"{sample.path}#{sample.index}"
    assert len({sample.sample_id for sample in source.samples}) == 40
    assert len(source.files) == 4


def test_colour(mnist):
    root, arrays = mnist(colour=True)
    source = recognise(root)
    np.testing.assert_array_equal(source.read(source.samples[3], None).pixels, arrays["train"][3])


def test_one_part_and_a_file_as_data(mnist):
    root, _ = mnist(parts=("train",))
    source = recognise(root)
    assert {sample.split for sample in source.samples} == {None}
    assert recognise(root / "train-images-idx3-ubyte").samples == source.samples


def test_nested_as_torchvision_keeps_it(mnist, tmp_path):
    root, _ = mnist()
    (root / "MNIST" / "raw").mkdir(parents=True)
    for file in list(root.glob("*ubyte")):
        file.rename(root / "MNIST" / "raw" / file.name)
    assert recognise(root).samples[0].sample_id == "MNIST/raw/train-images-idx3-ubyte#0"


def test_class_names_beside(mnist):
    root, _ = mnist()
    (root / "classes.txt").write_text("T-shirt/top\nTrouser\nPullover\n")
    source = recognise(root)
    assert source.classes == ("T-shirt/top", "Trouser", "Pullover")
    assert source.samples[1].label == "Trouser"
    assert root / "classes.txt" in source.files
    (root / "classes.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="labels 0 to 2, but 2 class names"):
        recognise(root)


def test_plain_and_packed_side_by_side_count_once(mnist):
    root, _ = mnist()
    mnist(packed=True)
    source = recognise(root)
    assert len(source.samples) == 40
    assert {path.suffix for path in source.files} == {""}


@pytest.mark.parametrize("packed", [False, True])
def test_truncated(mnist, packed):
    root, _ = mnist(packed)
    path = next(root.glob("train-images*"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"train-images.*: (its header promises 1,440|truncated)"):
        recognise(root)


@pytest.mark.parametrize(("extra", "words"), [(-40, "holds 1,400"), (5, "holds more")])
def test_packed_with_another_length_than_promised(mnist, extra, words):
    root, _ = mnist(packed=True)
    path = root / "train-images-idx3-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:extra] if extra < 0 else content + bytes(extra)))
    with pytest.raises(DataError, match=f"promises 1,440 bytes of data .*, it {words}"):
        recognise(root)


def test_damaged_gzip(mnist):
    root, _ = mnist(packed=True)
    path = next(root.glob("train-images*"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"train-images.*: truncated or damaged"):
        recognise(root)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-labels-idx1-ubyte", idx_bytes(np.zeros(29)), "29 labels for 30 pictures"),
        ("train-labels-idx1-ubyte", b"not idx", "no IDX file"),
        ("train-labels-idx1-ubyte", b"", r"no IDX file \(starts with the bytes none\)"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\3" + bytes(40), "IDX data of type 0x0d"),
        ("train-images-idx3-ubyte", b"\0\0\x08\3" + bytes(3), "truncated in its header"),
        ("train-images-idx3-ubyte", idx_bytes(np.zeros((30, 48))), "is no stack of pictures"),
    ],
)
def test_files_that_do_not_fit(mnist, name, content, words):
    root, _ = mnist()
    (root / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        recognise(root)
    assert str(root) in str(caught.value)


def test_missing_labels(mnist):
    root, _ = mnist()
    (root / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="its labels, t10k-labels-idx1-ubyte, are missing"):
        recognise(root)


def test_columns_make_no_sense(mnist):
    root, _ = mnist()
    with pytest.raises(RequestError, match="--group 'patient': IDX files have no columns"):
        recognise(root, group="patient")


@pytest.mark.data
def test_fashion_mnist(real_data):
    source = recognise(real_data / "fashion_mnist")
    assert len(source.samples) == 70_000
    splits = [sample.split for sample in source.samples]
    assert (splits.count("train"), splits.count("test")) == (60_000, 10_000)
    with gzip.open(real_data / "fashion_mnist" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    found = source.read(source.samples[60_000 + 1234], None).pixels
    np.testing.assert_array_equal(found[..., 0], pixels[1234])
