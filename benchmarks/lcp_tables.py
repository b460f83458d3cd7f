"""Tables 2 and 3 of the LCP paper against our own splitter and count.

    python benchmarks/lcp_tables.py > benchmarks/lcp_tables.csv

Where a figure differs by more than 3 %, the last column says why. `tests/tables` asserts all of
this.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tables.lcp_paper import EXCEPTIONS, ROWS, difference, ours


def main() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["model", "figure", "ours", "printed", "difference_percent", "reason"])
    for row in ROWS:
        for figure in ("params", "macs"):
            writer.writerow(
                [
                    row.name,
                    figure,
                    getattr(ours(row.name), figure),
                    round(getattr(row, figure)),
                    round(100 * difference(row.name, figure), 2) or 0.0,
                    EXCEPTIONS.get((row.name, figure), ""),
                ]
            )


if __name__ == "__main__":
    main()
