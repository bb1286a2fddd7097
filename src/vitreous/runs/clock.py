"""Where the seconds of a run went."""

import time


class Clock:
    """Seconds since it was made, and by lap."""

    def __init__(self) -> None:
        self.started = self.last = time.monotonic()
        self.laps: dict[str, float] = {}

    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self.started

    def lap(self, name: str) -> None:
        """Give the seconds since the last lap a name; the same name adds up."""
        now = time.monotonic()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self.last, 3)
        self.last = now

    def seconds(self) -> dict[str, float]:
        """All laps and their total."""
        return {"total": round(self.elapsed(), 3), **self.laps}
