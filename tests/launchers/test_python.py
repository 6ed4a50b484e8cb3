"""Jobs that are a Python function: real processes, most of which waited for their run."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest

from sensord.config import load
from sensord.config.problems import ConfigError
from tests.launchers.command_kit import commands, gone, new_run
from tests.launchers.conformance_kit import until
from tests.launchers.python_kit import children, ended, jobs, log_of


def job(function: str, warm: int = 0, **more: Any) -> dict[str, Any]:
    module = "typed" if function in ("load", "model") and not more.pop("own", False) else "work"
    return {"python": f"{module}:{function}", "warm": warm, **more}


async def test_arguments_come_from_run_config_by_annotation_and_the_result_is_metadata(tmp_path: Path) -> None:
    async with jobs(tmp_path, load=job("load")) as (launchers, _):
        run = new_run(path="/in/a.csv", day="2026-01-02", area={"name": "Riga", "size": 3}, limit="4", extra=1)
        outcome = await ended(launchers["load"], run)
        assert (outcome.status, outcome.error) == ("succeeded", "")
        wanted = {"name": "a.csv", "year": 2026, "size": 7, "more": ["extra"], "exit_code": 0}
        assert dict(outcome.metadata) == wanted
        assert log_of(launchers["load"], run) == "loading a.csv {'extra': 1}\n"


@pytest.mark.parametrize(
    ("function", "config", "sentence"),
    [
        ("load", {"path": "a", "day": "never", "area": {"name": "a", "size": 1}}, "run_config: day: Input should be a"),
        ("load", {"path": "a", "day": "2026-01-01", "area": {"name": "a", "size": -1}}, "run_config: area.size: Input"),
        ("load", {"path": "a"}, "run_config: day is missing"),
        ("plain", {"path": "a"}, "run_config: plain takes nothing, and no path"),
        ("nothing", {}, "there is no 'nothing' in work"),
        ("fails", {}, "ValueError: no rows"),
        ("leaves", {"code": 5}, "exit code 5"),
        ("dies", {}, "killed by SIGKILL"),
    ],
)
async def test_what_goes_wrong_is_said_in_a_line(
    tmp_path: Path, function: str, config: dict[str, Any], sentence: str
) -> None:
    async with jobs(tmp_path, load=job(function)) as (launchers, _):
        outcome = await ended(launchers["load"], **config)
    assert outcome.status == "failed"
    assert outcome.error.startswith(sentence)


async def test_results_of_every_shape_become_metadata(tmp_path: Path) -> None:
    wanted: dict[str, dict[str, Any]] = {
        "plain": {"result": 3},
        "rows": {"rows": 4, "day": "2026-01-02"},
        "model": {"name": "a", "size": 1},
        "nan": {"result": "{'a': nan}"},
        "later": {"later": True},
    }
    async with jobs(tmp_path, **{name: job(name) for name in (*wanted, "much", "report")}) as (launchers, _):
        for name, metadata in wanted.items():
            assert dict((await ended(launchers[name])).metadata) == metadata | {"exit_code": 0}
        assert len(str((await ended(launchers["much"])).metadata)) < 1000
        blocked = await ended(launchers["report"])
        assert (blocked.status, blocked.error) == ("failed", "quality check no_nulls failed")


async def test_the_traceback_is_in_the_event_and_holds_no_frame_of_ours(tmp_path: Path) -> None:
    async with jobs(tmp_path, load=job("fails")) as (launchers, _):
        run = new_run(what="x" * 100_000)
        outcome = await ended(launchers["load"], run)
        trace = outcome.metadata["traceback"]
        assert 'work.py", line' in trace
        assert "python_call" not in trace
        assert "python_runner" not in log_of(launchers["load"], run)
        assert len(trace) < 10_000
        assert len(outcome.error) <= 500


async def test_a_run_is_given_to_a_process_that_waits_and_there_is_another_afterwards(tmp_path: Path) -> None:
    async with jobs(tmp_path, load=job("whoami", 2, env={"REGION": "eu"})) as (launchers, opened):
        supervisor = opened.supervisor_pid
        await until(lambda: len(children(supervisor)) == 2)
        spares = children(supervisor)
        run = new_run()
        said = (await ended(launchers["load"], run)).metadata
        assert said["pid"] in spares
        assert (said["parent"], said["run"], said["cwd"]) == (supervisor, run.id, str(tmp_path))
        assert (said["group"], said["session"], said["env"]) == (said["pid"], said["pid"], "eu")
        assert (said["waits"], said["argv"]) == ([], ["work:whoami"])
        await until(lambda: len(children(supervisor)) == 2)
        assert said["pid"] not in children(supervisor), "one run, one process"


async def test_more_runs_than_wait_are_started_cold_and_all_end(tmp_path: Path) -> None:
    async with jobs(tmp_path, load=job("whoami", 1)) as (launchers, _):
        outcomes: list[Any] = []

        async def one() -> None:
            outcomes.append(await ended(launchers["load"]))

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(one)
        assert len({outcome.metadata["pid"] for outcome in outcomes}) == 6


async def test_a_process_that_waited_runs_what_the_file_says_now(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text("value = 1\n")
    (tmp_path / "work.py").write_text("import inner\ndef load(): return {'value': inner.value}\n")
    async with jobs(tmp_path, load=job("load", 1, own=True)) as (launchers, opened):
        await until(lambda: children(opened.supervisor_pid))
        assert (await ended(launchers["load"])).metadata["value"] == 1
        await until(lambda: children(opened.supervisor_pid))
        (spare,) = children(opened.supervisor_pid)
        await until(lambda: "inner" in Path(f"/proc/{spare}/maps").read_text() or (tmp_path / "__pycache__").exists())
        (tmp_path / "inner.py").write_text("value = 22\n")
        assert (await ended(launchers["load"])).metadata["value"] == 22


async def test_what_is_written_while_it_is_imported_is_not_missed(tmp_path: Path) -> None:
    # It changes itself, behind Python's back: what was imported is not what the file says when it is looked at.
    (tmp_path / "inner.py").write_text("value = 1\n")
    (tmp_path / "work.py").write_text(
        "import inner\nfrom pathlib import Path\n"
        "if inner.value == 1: Path(inner.__file__).write_text('value = 22\\n')\n"
        "def load(): return {'value': inner.value}\n"
    )
    async with jobs(tmp_path, load=job("load", 1, own=True)) as (launchers, opened):
        await until(lambda: children(opened.supervisor_pid))
        await until(lambda: (tmp_path / "inner.py").read_text() == "value = 22\n")
        assert (await ended(launchers["load"])).metadata["value"] == 22


async def test_a_module_that_cannot_be_imported_is_said_and_works_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("import no_such_thing\n")
    async with jobs(tmp_path, load=job("load", 1, own=True)) as (launchers, opened):
        await until(lambda: children(opened.supervisor_pid))
        outcome = await ended(launchers["load"])
        assert outcome.error == "ModuleNotFoundError: No module named 'no_such_thing'"
        (tmp_path / "work.py").write_text("def load(): return {'mended': True}\n")
        assert (await ended(launchers["load"])).metadata["mended"] is True


async def test_spares_that_die_while_they_wait_are_not_started_for_ever(tmp_path: Path) -> None:
    count = tmp_path / "count"
    (tmp_path / "work.py").write_text(f"import os\nopen('{count}', 'a').write('x')\nos._exit(3)\n")
    async with jobs(tmp_path, load=job("load", 1, own=True)) as (launchers, _):
        await until(count.exists)
        outcome = await ended(launchers["load"])
        assert outcome.error == "exit code 3"
        assert len(count.read_text()) <= 3


@pytest.mark.parametrize(("how", "status"), [("return", "succeeded"), ("raise", "failed"), ("wait", "cancelled")])
async def test_what_a_run_needs_is_opened_for_it_and_always_closed(tmp_path: Path, how: str, status: str) -> None:
    note = tmp_path / "note"
    given = {"arguments": {"log": str(note)}}
    resources = {
        "cluster": {"factory": "work:noted", **given},
        "client": {"factory": "work:Client", **given},
        "third": {"factory": "work:generated", **given},
    }
    async with jobs(tmp_path, load=job("uses", resources=resources)) as (launchers, _):
        run = new_run(how=how, log=str(note))
        outcomes: list[Any] = []

        async def follow() -> None:
            outcomes.append(await ended(launchers["load"], run))

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await until(lambda: note.exists() and how in note.read_text())
            if how == "wait":
                await launchers["load"].cancel(run)
    assert outcomes[0].status == status
    lines = note.read_text().split("\n")[:-1]
    assert lines[:2] == ["open", how]
    assert lines[-2:] == ["client closed", "closed"]


async def test_spares_end_with_their_daemon_and_runs_do_not(tmp_path: Path) -> None:
    run = new_run(seconds=60.0)
    async with jobs(tmp_path, load=job("later", 1)) as (launchers, opened):
        supervisor = opened.supervisor_pid
        await until(lambda: children(supervisor))
        (spare,) = children(supervisor)
        started = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(launchers["load"].launch, run, lambda _at: started.set())
            await started.wait()
            await until(lambda: len(children(supervisor)) == 2)
            group.cancel_scope.cancel()
        spares = [pid for pid in children(supervisor) if pid != spare]
    await gone(spares[0])
    assert children(supervisor) == [spare], "it has become the run, and goes on"
    async with jobs(tmp_path, load=job("later", 0)) as (launchers, _):
        os.kill(spare, signal.SIGKILL)
        outcome = await launchers["load"].adopt(run, lambda _at: None)
        assert outcome is not None
        assert outcome.error == "killed by SIGKILL"


async def test_a_supervisor_that_is_killed_leaves_no_spare_and_its_successor_finds_the_run(tmp_path: Path) -> None:
    run = new_run(seconds=60.0)
    async with jobs(tmp_path, load=job("later", 1)) as (launchers, opened):
        first = opened.supervisor_pid
        await until(lambda: children(first))
        (became,) = children(first)
        started = anyio.Event()
        outcomes: list[Any] = []

        async def follow() -> None:
            outcomes.append(await launchers["load"].launch(run, lambda _at: started.set()))

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await started.wait()
            await until(lambda: len(children(first)) == 2)
            (spare,) = (pid for pid in children(first) if pid != became)
            os.kill(first, signal.SIGKILL)
            await gone(spare)
            await until(lambda: opened.supervisor_pid != first)
            await until(lambda: children(opened.supervisor_pid))
            await launchers["load"].cancel(run)
        assert outcomes[0].status == "cancelled"


def test_what_names_no_function_is_said_where_it_is_written(tmp_path: Path) -> None:
    for key, value in (("python", "work.load"), ("resources", {"cluster": "no colon"}), ("resources", {"a-b": "a:b"})):
        written = {"python": "work:load", key: value}
        (tmp_path / "sensord.yaml").write_text(f"jobs: {{load: {written}}}\n".replace("'", '"'))
        with pytest.raises(ConfigError, match=r"module:function|argument of a function"):
            load(tmp_path / "sensord.yaml", {})


async def test_a_command_costs_nothing_of_it(tmp_path: Path) -> None:
    async with commands(tmp_path / "state") as opened:
        assert children(opened.supervisor_pid) == []


DASK = """
def work(cluster, numbers: list):
    from distributed import Client
    with Client(cluster) as client:
        return {"sum": sum(client.gather(client.map(abs, numbers))), "workers": len(cluster.workers)}
"""


async def test_a_dask_cluster_is_there_for_one_run(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(DASK)
    arguments = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    resources = {"cluster": {"factory": "dask.distributed:LocalCluster", "arguments": arguments}}
    async with jobs(tmp_path, load=job("work", resources=resources)) as (launchers, _):
        outcome = await ended(launchers["load"], numbers=[-1, 2, -3])
        assert (outcome.status, outcome.error) == ("succeeded", "")
        assert (outcome.metadata["sum"], outcome.metadata["workers"]) == (6, 2)
