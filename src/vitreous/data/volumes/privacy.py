"""Names for patients and series that say nothing about them.

A name is a keyed hash (blake2b) of the identifier: the same on one machine, and not to be found by
trying out likely identifiers without the key. The key is made once and kept with the user's other
data, or is `VITREOUS_SALT`, with which machines agree.
"""

import os
import secrets
from functools import cache
from hashlib import blake2b
from pathlib import Path

import platformdirs

from vitreous.errors import DataError

DIGITS = 12


def hidden_name(kind: str, *identifiers: str) -> str:
    """`series-` or `patient-` and 12 hex digits. Raises `DataError` where no key can be kept."""
    digest = blake2b(key=_key(), digest_size=DIGITS // 2, person=kind.encode()[:16])
    digest.update("\0".join(identifiers).encode())
    return f"{kind}-{digest.hexdigest()}"


def _key() -> bytes:
    named = os.environ.get("VITREOUS_SALT")
    if named:
        return blake2b(named.encode(), digest_size=32).digest()
    return _kept_key(Path(platformdirs.user_data_dir("vitreous")) / "salt")


@cache
def _kept_key(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # made for its owner alone; where another process was faster, its key is read
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        kept = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError):
        kept = b""
    if len(kept) != 32:
        raise DataError(
            f"{path}: the key that hides patients' names cannot be kept there; set VITREOUS_SALT "
            "to a secret of your own, the same on every machine that shares runs"
        )
    return kept
