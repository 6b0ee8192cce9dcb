"""The table: what each server gave, how many times as fast Kahu is, and what the machine would give."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from archive.measures import Figure, Measured

HEAD = (
    "| what | Kahu | Orthanc | times as good | aim | | CPU ms, Kahu | CPU ms, Orthanc | the machine |\n"
    "|---|---:|---:|---:|---:|---|---:|---:|---:|"
)


@dataclass
class Row:
    """One line of the table, as it fills."""

    name: str
    figure: Figure
    aim: float | None = None
    """how many times as good as Orthanc"""
    least: float | None = None
    """where there is no peer: the figure that Kahu should reach"""
    taken: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    limit: float | None = None
    """the same figure, of the machine"""

    def add(self, server: str, measured: Measured) -> None:
        self.taken[server].append(measured)

    def median(self, server: str) -> float | None:
        """What a server gave; None: nothing was asked of it."""
        taken = self.taken.get(server)
        return statistics.median(one.figure(self.figure) for one in taken) if taken else None

    def cpu(self, server: str) -> float | None:
        """Milliseconds of its CPU for one operation."""
        taken = self.taken.get(server)
        return 1000 * statistics.median(one.cpu for one in taken) if taken else None

    def ratio(self) -> float | None:
        """How many times as good as Orthanc Kahu is."""
        kahu, orthanc = self.median("Kahu"), self.median("Orthanc")
        if kahu is None or orthanc is None:
            return None
        return kahu / orthanc if self.figure in ("rate", "bytes") else orthanc / kahu

    def told(self, value: float | None) -> str:
        """A value of its figure, with the unit."""
        if value is None:
            return ""
        match self.figure:
            case "rate":
                return f"{value:,.0f} /s"
            case "latency":
                return f"{_digits(value * 1000)} ms"
            case "bytes":
                return f"{value / 1e6:,.0f} MB/s"
            case "memory":
                return f"{value / 1e6:,.0f} MB"

    def verdict(self) -> str:
        if self.least is not None:
            return "reached" if (self.median("Kahu") or 0) >= self.least else "not reached"
        if self.aim is None:
            return ""
        return "reached" if (self.ratio() or 0) >= self.aim else "not reached"


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    return "\n".join([HEAD, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    aim = f"{row.aim:g} ×" if row.aim else row.told(row.least)
    ratio = row.ratio()
    cells = [
        row.name,
        row.told(row.median("Kahu")),
        row.told(row.median("Orthanc")),
        f"{ratio:.2f} ×" if ratio is not None else "",
        aim,
        row.verdict(),
        *(_milliseconds(row.cpu(server)) for server in ("Kahu", "Orthanc")),
        row.told(row.limit),
    ]
    return "| " + " | ".join(cells) + " |"


def _milliseconds(value: float | None) -> str:
    return _digits(value) if value else ""


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
