"""Checks that a CSV file has a header, rows, and no empty cell. Needs nothing but Python."""

import csv
import json
import os
import sys
from pathlib import Path

SAMPLE = 5


def report(**line):
    """Tell sensord something; outside of sensord, tell the terminal."""
    path = os.environ.get("SENSORD_REPORT")
    if not path:
        print(json.dumps(line))
        return
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def main():
    config = json.loads(Path(os.environ["SENSORD_RUN_CONFIG"]).read_text(encoding="utf-8"))
    path = Path(config["path"])
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        count, bad = 0, []
        for number, row in enumerate(rows, start=2):
            count += 1
            if len(row) != len(header) or not all(cell.strip() for cell in row):
                bad.append({"row": number, "cells": row[:20]})
    passed = bool(header) and count > 0 and not bad
    detail = f"{len(bad)} of {count} rows have an empty or a missing cell" if count else "there are no rows"
    report(metadata={"rows": count, "columns": len(header)})
    report(
        check="complete_rows",
        passed=passed,
        severity="error",
        subject=path.name,
        detail="" if passed else detail,
        metrics={"rows": count, "bad_rows": len(bad)},
        sample=bad[:SAMPLE],
    )
    print(f"{path.name}: {count} rows, {len(bad)} bad")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
