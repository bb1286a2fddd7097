"""What people call train, validation and test, and what a given split means for us."""

from collections.abc import Iterable

from vitreous.data.samples import SPLITS, Split
from vitreous.errors import DataError

SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "t10k": "test",  # MNIST's name for its ten thousand test pictures
}


def split_of(word: str) -> Split | None:
    """The split that a folder, file or cell names, or None.

    >>> split_of("Valid"), split_of("cats")
    ('val', None)
    """
    return SPLIT_WORDS.get(word.strip().lower())


def first_split(words: Iterable[str]) -> Split | None:
    """The split that the first telling word of several names, or None.

    >>> first_split(["mnist", "t10k"])
    'test'
    """
    for word in words:
        if split := split_of(word):
            return split
    return None


def settle_splits(seen: Iterable[str], where: str) -> tuple[dict[Split, Split | None], str]:
    """What each given part is used for, and the sentence that says so.

    The test part is what the data's makers held back: with train and val alone, that is val, and
    validation is taken out of train later. A part alone is no split. Raises `DataError` where
    there is something to test on and nothing to learn from.

    >>> settle_splits(["train", "val"], "photos")[0]
    {'train': 'train', 'val': 'test'}
    """
    given = set(seen)
    parts: list[Split] = [split for split in SPLITS if split in given]
    if len(parts) == 1:
        return {parts[0]: None}, f"only a {parts[0]} part is there, so it is split anew"
    match parts:
        case ["train", "val", "test"]:
            return {"train": "train", "val": "val", "test": "test"}, "the given split is kept"
        case ["train", "val"]:
            return (
                {"train": "train", "val": "test"},
                "val is the test part, and validation is taken out of train",
            )
        case ["train", "test"]:
            return (
                {"train": "train", "test": "test"},
                "test is the test part, and validation is taken out of train",
            )
        case ["val", "test"]:
            raise DataError(
                f"{where}: has val and test but no train; "
                "name the part to learn from 'train', or give one of the parts alone"
            )
    return {}, "no split is given"
