"""Every kind of launcher, with its outside. A new launcher is one entry here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.doubles.airflow import TOKEN, AirflowDouble
from tests.doubles.gitlab import ACCESS, TRIGGER, GitLabDouble
from tests.doubles.rest import Plain, RunningDouble
from tests.launchers.conformance_kit import Outside
from tests.test_readme import block

PLAIN = (
    '{{timeout: {timeout}, http: {{url: "{url}/runs", idempotency_header: Idempotency-Key, allow_private: true, '
    'body: {{path: "{{{{ run.config.path }}}}"}}, link: "{url}/page/{{{{ started.id }}}}", '
    'follow: {{url: "{url}/runs/{{{{ started.id }}}}", every: 100ms, unknown_for: 100ms, '
    "succeeded: \"answer.state == 'success'\", "
    "failed: \"answer.state == 'failed'\", cancelled: \"answer.state == 'cancelled'\", "
    'error: "{{{{ answer.note }}}}", metadata: {{note: "{{{{ answer.note }}}}"}}}}, '
    'cancel: {{url: "{url}/runs/{{{{ started.id }}}}", method: DELETE}}}}}}'
)
NOTE = (
    'printf "%s\\n" "$SENSORD_RUN_ID.$SENSORD_ATTEMPT" >> "$1/started"; '
    'until [ -e "$1/$SENSORD_RUN_ID.$SENSORD_ATTEMPT" ]; do sleep 0.02; done; '
    'exit "$(cat "$1/$SENSORD_RUN_ID.$SENSORD_ATTEMPT")"'
)


class Processes:
    """Commands that wait for a file which says how they end."""

    def __init__(self, folder: Path, timeout: str) -> None:
        self.folder = folder
        script = NOTE.replace("'", "''")
        self.config = f"{{timeout: {timeout}, command: [sh, -c, '{script}', sh, '{folder}']}}"

    def starts(self, token: str) -> int:
        started = self.folder / "started"
        return started.read_text().split().count(token) if started.exists() else 0

    def finish(self, token: str, how: str) -> None:
        spare = self.folder / f"{token}.new"
        spare.write_text("0" if how == "succeeded" else "3")
        spare.rename(self.folder / token)

    def runs(self, token: str) -> bool:
        run_id, _, attempt = token.partition(".")
        wanted = {f"SENSORD_RUN_ID={run_id}".encode(), f"SENSORD_ATTEMPT={attempt}".encode()}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                        return True
                except OSError:
                    continue
        return False


WORK = """
import os, time
from pathlib import Path
def work(path: str):
    token = os.environ["SENSORD_RUN_ID"] + "." + os.environ["SENSORD_ATTEMPT"]
    here = Path(__file__).parent
    with (here / "started").open("a") as file:
        file.write(f"{token} {os.getpid()}\\n")
    while not (here / token).exists():
        time.sleep(0.02)
    if (here / token).read_text() != "0":
        raise ValueError("it was told to")
"""


class Functions(Processes):
    """A function that does the same, in a process that waited for it."""

    def __init__(self, folder: Path, timeout: str) -> None:
        super().__init__(folder, timeout)
        (folder / "work.py").write_text(WORK)
        self.config = f"{{timeout: {timeout}, python: 'work:work', path: '{folder}'}}"

    def runs(self, token: str) -> bool:
        if not self.starts(token):
            return False
        started = (self.folder / "started").read_text().split()
        pid = started[started.index(token) + 1]
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
        except OSError:
            return False


class Served:
    """A double, as an outside."""

    def __init__(self, double: RunningDouble, config: str) -> None:
        self.double = double
        self.config = config
        self.faults = double.faults

    def starts(self, token: str) -> int:
        return self.double.starts[token]

    def finish(self, token: str, how: str) -> None:
        self.double.finish(token, {"succeeded": "success"}.get(how, how))

    def runs(self, token: str) -> bool:
        return self.double.starts[token] > 0 and self.double.state(token) in ("created", "queued", "running")

    def down(self) -> None:
        self.double.down()

    def up(self) -> None:
        self.double.up()


@contextmanager
def commands(folder: Path, timeout: str) -> Iterator[Processes]:
    (folder / "outside").mkdir()
    yield Processes(folder / "outside", timeout)


@contextmanager
def functions(folder: Path, timeout: str) -> Iterator[Processes]:
    (folder / "outside").mkdir()
    yield Functions(folder / "outside", timeout)


@contextmanager
def plain(_folder: Path, timeout: str) -> Iterator[Served]:
    with Plain().served() as double:
        yield Served(double, PLAIN.format(url=double.url, timeout=timeout))


def recipe(name: str, url: str, timeout: str, **secrets: str) -> str:
    """A job as the README has it, at a double, and hurried."""
    text = block(f"test: {name} job")
    for variable, value in secrets.items():
        text = text.replace(f"${{{variable}}}", value)
    ((job),) = yaml.safe_load(text.replace(f"https://{name}.example.com", url))["jobs"].values()
    job["timeout"] = timeout
    job["http"]["allow_private"] = True
    job["http"]["follow"] |= {"every": "100ms", "unknown_for": "100ms"}
    if "find" in job["http"]:
        job["http"]["find"]["within"] = "300ms"
    return json.dumps(job)


@contextmanager
def airflow(_folder: Path, timeout: str) -> Iterator[Served]:
    with AirflowDouble().served() as double:
        yield Served(double, recipe("airflow", double.url, timeout, AIRFLOW_TOKEN=TOKEN))


@contextmanager
def gitlab(_folder: Path, timeout: str) -> Iterator[Served]:
    with GitLabDouble().served() as double:
        yield Served(double, pipeline(double, timeout))


def pipeline(double: RunningDouble, timeout: str = "1h") -> str:
    """The README's pipeline at that double."""
    return recipe("gitlab", double.url, timeout, GITLAB_TOKEN=ACCESS, GITLAB_TRIGGER_TOKEN=TRIGGER)


@dataclass(frozen=True)
class Kind:
    """A launcher and its outside. `breakable`: it may be away. `recipe`: it is another's, configured in a known way."""

    name: str
    outside: Callable[[Path, str], AbstractContextManager[Outside]]
    breakable: bool = True
    recipe: bool = False

    def __str__(self) -> str:
        return self.name


KINDS = (
    Kind("command", commands, breakable=False),
    Kind("python", functions, breakable=False),
    Kind("http", plain),
    Kind("airflow", airflow, recipe=True),
    Kind("gitlab", gitlab, recipe=True),
)
