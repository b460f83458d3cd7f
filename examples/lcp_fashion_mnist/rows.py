"""runs.csv: one row for each network that was trained."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """What one run came to.

    Attributes
    ----------
    accuracy : percent of the test pictures that are right.
    int8 : the same of the integers that VTA computes when the network is compiled for it.
    parameters : weights and biases of all branches.
    macs : multiply-accumulates of a picture, of all branches.
    epochs : of the command.
    seconds : wall time of the command, of its last start where it was interrupted.
    command : that trained it.
    """

    network: str
    variant: str
    seed: int
    accuracy: float
    int8: float
    parameters: int
    macs: int
    epochs: int
    seconds: int
    command: str


def read_rows(path: Path) -> list[Row]:
    """Read a table; one that is not there has no rows."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Row(
                line["network"],
                line["variant"],
                int(line["seed"]),
                float(line["accuracy"]),
                float(line["int8"]),
                int(line["parameters"]),
                int(line["macs"]),
                int(line["epochs"]),
                int(line["seconds"]),
                line["command"],
            )
            for line in csv.DictReader(file)
        ]


def append_row(path: Path, row: Row) -> None:
    """Add a row to a table, which begins with the names of the columns."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(row)), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(asdict(row))
