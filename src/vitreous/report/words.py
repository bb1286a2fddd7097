"""Numbers and metric names in words: the one place that decides digits and units."""

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import Any

# What a metric is called in a sentence. Shares of samples are written in per cent, all others
# as plain numbers.
METRICS: dict[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "f1": "F1",
    "auroc": "AUROC",
    "mean_average_precision": "mean average precision",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
    "kappa": "Cohen's kappa",
    "exact_match": "exact match",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "lr": "learning rate",
    "iou": "mean IoU",
    "dice": "mean Dice",
    "dice_a_picture": "mean Dice of a picture",
    "boundary_f1": "boundary F1",
    "hausdorff95": "95\N{NO-BREAK SPACE}% Hausdorff distance",
    "pixel_accuracy": "share of pixels right",
    "ap": "AP (COCO)",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP of small boxes",
    "ap_medium": "AP of medium boxes",
    "ap_large": "AP of large boxes",
    "ar_1": "AR with 1 answer",
    "ar_10": "AR with 10 answers",
    "ar": "AR (COCO)",
    "ar_small": "AR of small boxes",
    "ar_medium": "AR of medium boxes",
    "ar_large": "AR of large boxes",
    "count_error": "error of the count",
}

SHARES = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "micro_f1",
        "f1",
        "precision",
        "recall",
        "ece",
        "exact_match",
        "specificity",
        "pixel_accuracy",
    }
)

# At most 1, so that digits after the point can be compared down a column.
AT_MOST_ONE = frozenset(
    {
        *("auroc", "mean_average_precision", "average_precision", "r2", "kappa"),
        *("iou", "dice", "dice_a_picture", "boundary_f1"),
        *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
        *("ar_1", "ar_10", "ar", "ar_small", "ar_medium", "ar_large"),
    }
)

MINUS = "\N{MINUS SIGN}"
EN = "\N{EN DASH}"
NO_BREAK = "\N{NO-BREAK SPACE}"


def metric_words(name: str) -> str:
    """The metric's name for people: known ones as the field writes them.

    >>> metric_words("macro_f1"), metric_words("val_auroc"), metric_words("my_score")
    ('macro F1', 'AUROC', 'my score')
    """
    plain = plain_metric(name)
    return METRICS.get(plain, plain.replace("_", " "))


def plain_metric(name: str) -> str:
    """A metric's name without the part it was measured on."""
    return name.removeprefix("val_").removeprefix("train_").removeprefix("test_")


def is_share(name: str, unit: str | None = None) -> bool:
    """Whether the metric is a share (0 to 1) that is written in per cent."""
    return plain_metric(name) in SHARES or unit in ("share", "proportion", "%")


def percent(share: float | None, digits: int = 1) -> str:
    """A share from 0 to 1 in per cent; nothing short of all becomes 100, or of none 0.

    >>> percent(0.98333), percent(1.0), percent(0.99999), percent(0.00004)
    ('98.3\\xa0%', '100\\xa0%', '>99.9\\xa0%', '<0.1\\xa0%')
    """
    if share is None or not isfinite(share):
        return EN
    return f"{_percent_number(share, digits)}{NO_BREAK}%"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, never in exponents between 1e-4 and 1e7.

    >>> number(0.123456), number(1234.5), number(-2.0), number(0.00000123), number(None)
    ('0.123', '1,234', '−2.00', '1.23e−6', '–')
    """
    if value is None or not isfinite(value):
        return EN
    if value == 0:
        return "0"
    power = floor(log10(abs(value)))
    if not -4 <= power < 7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    return f"{value:,.{max(0, digits - 1 - power)}f}".replace("-", MINUS)


def count(value: int | None) -> str:
    """A count with thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return EN if value is None else f"{value:,}"


def short_count(value: float | None) -> str:
    """A large count in thousands, millions or thousand millions.

    >>> short_count(950), short_count(61_706), short_count(4_089_184), short_count(2.5e9)
    ('950', '61.7\\xa0thousand', '4.09\\xa0million', '2.5\\xa0billion')
    """
    if value is None:
        return EN
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if value >= size:
            unit = 1e3 if name == "thousand" else size
            return f"{float(f'{value / unit:.3g}'):g}{NO_BREAK}{name}"
    return f"{value:,.0f}"


def of_these(amount: int | None, one: str, many: str | None = None) -> str:
    """A count and its noun.

    >>> of_these(1, "picture"), of_these(1200, "class", "classes")
    ('1\\xa0picture', '1,200\\xa0classes')
    """
    return f"{count(amount)}{NO_BREAK}{one if amount == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them.

    >>> duration(0.42), duration(75), duration(3720)
    ('0.4\\xa0s', '1\\xa0min 15\\xa0s', '1\\xa0h 2\\xa0min')
    """
    if seconds is None:
        return EN
    if seconds < 60:
        return f"{seconds:.1f}{NO_BREAK}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NO_BREAK}min {rest}{NO_BREAK}s"
    return f"{minutes // 60}{NO_BREAK}h {minutes % 60}{NO_BREAK}min"


def metric_value(name: str, value: float | None, unit: str | None = None) -> str:
    """A metric's value as it is written everywhere in the report, with its unit.

    >>> metric_value("accuracy", 0.9833), metric_value("auroc", 0.99871)
    ('98.3\\xa0%', '0.999')
    >>> metric_value("auroc", 0.99996), metric_value("auroc", 1.0)
    ('>0.999', '1.000')
    >>> metric_value("mae", 2.5, "years")
    '2.50\\xa0years'
    """
    if is_share(name, unit):
        return percent(value)
    written = _plain(name, value)
    return f"{written}{NO_BREAK}{unit}" if unit and value is not None else written


def interval(name: str, score: Mapping[str, Any], unit: str | None = None) -> str | None:
    """The interval of a score in the metric's units; None where the score has none.

    >>> interval("accuracy", {"value": 0.98, "low": 0.961, "high": 0.992})
    '96.1 to 99.2\\xa0%'
    """
    low, high = score.get("low"), score.get("high")
    if low is None or high is None:
        return None
    if is_share(name, unit):
        return f"{_percent_number(low, 1)} to {percent(high)}"
    return f"{_plain(name, low)} to {_plain(name, high)}" + (f"{NO_BREAK}{unit}" if unit else "")


def method_words(method: str | None) -> str | None:
    """How an interval was made; None where there is none.

    >>> method_words("bootstrap over groups"), method_words("undefined: one class only")
    ('bootstrap over groups', None)
    """
    return None if not method or method.startswith("undefined") else method


def undefined_words(score: Mapping[str, Any]) -> str | None:
    """Why a score has no value, where the evaluation said so."""
    method = score.get("method") or ""
    return method if method.startswith("undefined") else None


def sample_word(run: Mapping[str, Any]) -> str:
    """What one sample of a run is called.

    >>> sample_word({"signal": "eeg"}), sample_word({"signal": "volume"}), sample_word({})
    ('trial', 'scan', 'picture')
    """
    return {"eeg": "trial", "volume": "scan"}.get(run.get("signal") or "", "picture")


def counted_word(run: Mapping[str, Any]) -> str:
    """What a run has an answer for: its samples, or each pixel or voxel of them.

    >>> counted_word({"signal": "volume", "task": "segment"}), counted_word({"signal": "eeg"})
    ('voxel', 'trial')
    """
    if run.get("task") != "segment":
        return sample_word(run)
    return "voxel" if run.get("signal") == "volume" else "pixel"


def capital(words: str) -> str:
    """The words with a capital first letter, the others as they are.

    >>> capital("mean AUROC")
    'Mean AUROC'
    """
    return words[:1].upper() + words[1:]


def label_words(label: Any) -> str:
    """A label as people read it: several classes with commas, none as a word, numbers short.

    >>> label_words("cat"), label_words(["cat", "dog"]), label_words([]), label_words(2.5)
    ('cat', 'cat, dog', 'none of the classes', '2.50')
    """
    if isinstance(label, list | tuple):
        return ", ".join(str(part) for part in label) or "none of the classes"
    if isinstance(label, int | float) and not isinstance(label, bool):
        return number(float(label))
    if label is None or label == "":
        return "none of the classes"
    return str(label)


def _plain(name: str, value: float | None) -> str:
    if value is None or plain_metric(name) not in AT_MOST_ONE:
        return number(value)
    written = f"{value:.3f}".replace("-", MINUS)
    return ">0.999" if value < 1 and written == "1.000" else written


def _percent_number(share: float, digits: int) -> str:
    written = f"{100 * share:.{digits}f}"
    smallest = 10.0**-digits
    if share < 1 and float(written) >= 100:
        return f">{100 - smallest:.{digits}f}"
    if share > 0 and float(written) <= 0:
        return f"<{smallest:.{digits}f}"
    if float(written) in (0, 100):
        return f"{float(written):.0f}"
    return written.replace("-", MINUS)


def whole_subjects_words(found: Mapping[str, Any]) -> str:
    """How many subjects a study names rightly by all their trials, beside its baselines."""
    right, seeds = sum(found["by_seed"]) / len(found["by_seed"]), len(found["by_seed"])
    mean = f"mean of {seeds} seeds, " if seeds > 1 else ""
    others = ", ".join(f"{name} {count}" for name, count in found["baselines"].items())
    return (
        f"a subject answered by the mean of its trials: {right:.3g} of {found['n']} subjects right "
        f"({mean}{percent(found['low'], 0)} to {percent(found['high'], 0)}); {others}"
    )
