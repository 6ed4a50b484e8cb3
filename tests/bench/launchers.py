"""Runs of a trivial job through sensord, side by side with Dagster's own launcher, in the same minutes.

    python -m tests.bench.launchers [ours] [theirs]

Each run is asked for over HTTP (`POST /api/jobs/trivial/runs`, GraphQL's `launchRun`), all at once, and the rate is of
runs that have ended from the first request to the last end. Dagster as quick as it can be set: no queue of runs, its
op in the run's process. Ours is a command (`true`), and beside it a Python function. It starts a real Dagster (see
`tests.dagster.environment`), so it runs only when it is named. Bar: a hundred times Dagster's rate.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.figures import bar, daemon, get, wait_for
from tests.launchers.dagster_server import web_server

OURS, THEIRS, AT_ONCE = 1000, 10, 8
CONFIG = """
database: sqlite:///sensord.db
http: {port: 0}
log: {level: warning}
concurrency: 8
jobs:
  trivial: {command: ["true"]}
  function: {python: "work:nothing", warm: 8}
"""
LAUNCH = """mutation Launch($asked: ExecutionParams!) { launchRun(executionParams: $asked) { __typename
  ... on LaunchRunSuccess { run { runId } } } }"""
ENDED = """query Ended { runsOrError(filter: {statuses: [SUCCESS, FAILURE, CANCELED]}) {
  ... on Runs { results { status } } } }"""
WHERE = "query Where { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.loads(answer.read())


def ours(url: str, job: str, count: int) -> float:
    """Runs a second through the daemon."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: post(f"{url}/api/jobs/{job}/runs", {}), range(count)))

    def counts() -> dict[str, int]:
        found: dict[str, int] = get(url, f"/api/jobs/{job}")["last_24h"]
        return found

    wait_for(lambda: counts().get("succeeded", 0) >= count, 600)
    return count / (time.perf_counter() - begin)


def theirs(url: str, count: int) -> float:
    """Runs a second through Dagster's own launcher."""

    def ask(query: str, **variables: Any) -> Any:
        return post(f"{url}/graphql", {"query": query, "variables": variables})["data"]

    (place,) = ask(WHERE)["repositoriesOrError"]["nodes"]
    selector = {"jobName": "trivial", "repositoryName": place["name"]}
    selector["repositoryLocationName"] = place["location"]["name"]
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        said = list(threads.map(lambda _: ask(LAUNCH, asked={"selector": selector, "mode": "default"}), range(count)))
    assert {one["launchRun"]["__typename"] for one in said} == {"LaunchRunSuccess"}, said[0]

    def ended() -> list[str]:
        return [one["status"] for one in ask(ENDED)["runsOrError"]["results"]]

    wait_for(lambda: len(ended()) >= count, 3600, pause=0.2)
    assert set(ended()) == {"SUCCESS"}
    return count / (time.perf_counter() - begin)


def main(our_runs: int = OURS, their_runs: int = THEIRS) -> bool:
    """Print the rates, and whether the bar holds."""
    with web_server() as (url, _):
        dagster = theirs(url, their_runs)
        print(f"  Dagster's own launcher: {dagster:.2f} runs/s ({their_runs} runs)", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.py").write_text("def nothing(): pass\n")
        (folder / "sensord.yaml").write_text(CONFIG)
        with daemon(folder) as (_, url):
            command = ours(url, "trivial", our_runs)
            print(f"  sensord, a command: {command:.0f} runs/s ({our_runs} runs)", flush=True)
            function = ours(url, "function", max(our_runs // 10, 1))
            print(f"  sensord, a Python function: {function:.0f} runs/s", flush=True)
    return bar("runs/s, as a multiple of Dagster's own launcher", command / dagster, 100.0, at_least=True)


if __name__ == "__main__":
    sys.exit(0 if main(*(int(word) for word in sys.argv[1:])) else 1)
