"""How busy others keep the CPUs that a file is timed on; Linux alone tells."""

import os
import time
from collections.abc import Collection
from pathlib import Path

_STAT = Path("/proc/stat")


class Load:
    """Counts what others took of some CPUs' time, over one stretch or several.

    Args:
        cpus: Their numbers, or None where the system does not say.
    """

    def __init__(self, cpus: Collection[int] | None) -> None:
        self._cpus = cpus or ()
        self._others: float | None = 0.0
        self._wall = 0.0
        self._begun = self._now()

    def begin(self) -> None:
        """Begin a stretch; making it began the first."""
        self._begun = self._now()

    def end(self) -> None:
        """End a stretch."""
        wall, busy, own = (
            None if now is None or then is None else now - then
            for now, then in zip(self._now(), self._begun, strict=True)
        )
        self._wall += wall or 0.0
        if self._others is None or busy is None or own is None:
            self._others = None
        else:
            self._others += busy - own

    def share(self) -> float | None:
        """Share of these CPUs' time in all stretches that was not this process's, 0 to 1.

        None where it is not known, or the stretches are too short to tell.
        """
        tick = 1 / os.sysconf("SC_CLK_TCK")
        # The counters stand still between two ticks.
        if self._others is None or self._wall < 10 * tick:
            return None
        share = (self._others - tick * len(self._cpus)) / (self._wall * len(self._cpus))
        return round(min(max(share, 0.0), 1.0), 3)

    def _now(self) -> tuple[float, float | None, float]:
        return time.monotonic(), _busy(self._cpus), time.process_time()


def _busy(cpus: Collection[int]) -> float | None:
    """Seconds these CPUs were not idle since the machine started."""
    try:
        lines = [line.split() for line in _STAT.read_text(encoding="ascii").splitlines()]
        counts = {name: list(map(int, ticks)) for name, *ticks in lines if name.startswith("cpu")}
        # user nice system idle iowait irq softirq steal; guests behind them are in user already.
        ticks = [sum(counts[f"cpu{at}"][:3]) + sum(counts[f"cpu{at}"][5:8]) for at in cpus]
    except (OSError, ValueError, LookupError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
