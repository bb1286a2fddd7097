"""Which of several processes this one is, as torchrun says it in the environment.

Needs no torch, so that the command line can ask before anything heavy is imported.
"""

import os
from dataclasses import dataclass

from vitreous.errors import RequestError


@dataclass(frozen=True)
class Launch:
    """A process among those that were started together."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # among those of this machine
    machine: int = 0
    address: str = ""  # where the store is that the processes find each other by
    port: int = 0
    store_is_there: bool = False  # torchrun's own process keeps it, also while workers restart
    attempt: int = 0  # how often torchrun has restarted the workers


def launched() -> Launch:
    """What the environment says; one process by itself where it says nothing.

    Raises `RequestError` for an environment that is incomplete.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Launch()
    try:
        return Launch(
            rank=int(os.environ["RANK"]),
            count=int(os.environ["WORLD_SIZE"]),
            local_rank=int(os.environ.get("LOCAL_RANK", os.environ["RANK"])),
            machine=int(os.environ.get("GROUP_RANK", "0")),
            address=os.environ["MASTER_ADDR"],
            port=int(os.environ["MASTER_PORT"]),
            store_is_there=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            attempt=int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        )
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"RANK and WORLD_SIZE are set, but the environment is not torchrun's ({error}); "
            "start several processes with torchrun, or unset both for one"
        ) from None


def is_said_here(error: BaseException) -> bool:
    """Whether this process is the one of several that says an error aloud.

    The process that failed first says it, as `Processes` finds out; before the processes know
    of each other all fail alike, and the first one speaks.
    """
    return getattr(error, "said_here", os.environ.get("RANK", "0") == "0")
