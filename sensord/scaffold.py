"""What `sensord init` writes: a configuration that works, a job that checks a CSV file, and a folder to drop it in."""

from __future__ import annotations

from pathlib import Path

CONFIGURATION = """\
# sensord's configuration. `sensord check` tells whether it is right, `sensord run` starts the daemon,
# `sensord schema` prints a JSON Schema from which an editor completes the keys.
# Relative paths start at this file. ${NAME} takes an environment variable, ${file:PATH} what a file holds.

jobs:
  check_csv:
    command: [python3, check_csv.py]        # reads run_config from the file that $SENSORD_RUN_CONFIG names
    cwd: .
    timeout: 10m

sensors:
  incoming_csv:
    directory: {path: incoming, pattern: "*.csv"}     # each file once, when it is whole; again when it changes
    job: check_csv
    run_config: {path: "{{ file.path }}"}

subscriptions:
  - {topic: "runs.>", to: "inbox:", where: {severity: ">=info"}}     # read it with `sensord inbox`
  - {topic: "quality.*.failed", to: "inbox:"}

# To tell people in Telegram, add this, and a subscription {topic: "runs.*.failed", to: "telegram:CHAT_ID"}:
# telegram: {token: "${TELEGRAM_TOKEN}"}
"""

JOB = '''\
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
        file.write(json.dumps(line) + "\\n")


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
'''

FILES = {"sensord.yaml": CONFIGURATION, "check_csv.py": JOB}
FOLDERS = ("incoming",)


def write_project(folder: Path) -> list[Path]:
    """Write the files and the folder into `folder`, made if need be; return what was written.

    FileExistsError names what is already there, and nothing at all is written then.
    """
    there = [folder / name for name in (*FILES, *FOLDERS) if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        names = ", ".join(map(str, there))
        raise FileExistsError(f"{names}: already there, and nothing is overwritten; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in FILES.items():
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
        written.append(folder / name)
    for name in FOLDERS:
        (folder / name).mkdir()
        written.append(folder / name)
    return written
