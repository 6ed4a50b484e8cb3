"""What a job's run_config is to be, where a model, a function or nothing but the job itself says it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from notifiers.clock import SYSTEM
from sensord.config import load
from sensord.job_schemas import JobSchema, job_schemas
from sensord.parameters import completions, parameters_of
from sensord.schema_reading import AGAIN_SECONDS

MODULE = """
import sys
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal
from pydantic import BaseModel, BeforeValidator, Field

print("noise on standard output")

class Size(Enum):
    small = "s"
    big = "b"

class Area(BaseModel):
    name: str

class Load(BaseModel):
    model_config = {"extra": "forbid"}
    path: Path = Field(description="what to load")
    rows: int = Field(default=10, ge=1)
    areas: list[Area] = []

class Tree(BaseModel):
    name: str
    below: list["Tree"] = []

class Odd: ...

def load(path: Path, day: date, cluster, size: Size = Size.small, n: Annotated[int, Field(ge=0)] = 3,
         how: Literal["all", "some"] = "all", sure: bool = False, area: Area | None = None): return {"day": str(day)}
def anything(**more): ...
def split(words: Annotated[list[str], BeforeValidator(str.split)], odd=Odd()): return {"words": words}
"""


def schemas(folder: Path, clock: Any = SYSTEM, **written: dict[str, Any]) -> dict[str, JobSchema]:
    if not (folder / "typed_jobs.py").exists():
        (folder / "typed_jobs.py").write_text(MODULE)
    (folder / "sensord.yaml").write_text(json.dumps({"jobs": written}))
    return job_schemas(load(folder / "sensord.yaml", {}), clock=clock)


async def test_a_model_says_what_a_command_is_given(tmp_path: Path) -> None:
    job = schemas(tmp_path, a={"command": ["x"], "config_schema": "typed_jobs:Load"})["a"]
    assert job.known is None
    assert [(one.name, one.required, one.default) for one in parameters_of(await job.now())] == [
        ("path", True, None),
        ("rows", False, 10),
        ("areas", False, []),
    ]
    assert await job.at_launch({}) == "$: 'path' is a required property"
    assert await job.at_launch({"path": "a", "rows": 0}) == "$.rows: 0 is less than the minimum of 1"
    refused = await job.refusal({"path": "a", "pth": "b"})
    assert refused is not None
    assert "'pth' was unexpected" in refused
    assert await job.at_launch({"path": "a", "areas": [{"name": "north"}]}) is None
    assert await job.completed({"path": "a", "rows": 3}) == {"path": "a", "rows": 3, "areas": []}


async def test_a_functions_signature_is_what_a_python_job_is_given(tmp_path: Path) -> None:
    written = {"python": "typed_jobs:load", "resources": {"cluster": "typed_jobs:Odd"}}
    job = schemas(tmp_path, a=written)["a"]
    found = {one.name: one for one in parameters_of(await job.now())}
    assert list(found) == ["path", "day", "size", "n", "how", "sure", "area"]
    assert [name for name, one in found.items() if one.required] == ["path", "day"]
    assert (found["size"].choices, found["size"].default) == (("s", "b"), "s")
    assert (found["how"].choices, found["sure"].choices) == (("all", "some"), (True, False))
    assert completions(await job.now(), "", ["path"])[0] == ("day=", "text")
    assert completions(await job.now(), "how=", []) == [("how=all", ""), ("how=some", "")]
    assert await job.refusal({"path": "a"}) == "$: 'day' is a required property"
    refused = await job.refusal({"path": "a", "day": "2026-01-01", "dya": 1})
    assert refused is not None
    assert "'dya' was unexpected" in refused


async def test_what_nobody_wrote_down_fails_no_run_of_a_sensor(tmp_path: Path) -> None:
    found = schemas(
        tmp_path,
        split={"python": "typed_jobs:split"},
        absent={"python": "typed_jobs:none_such"},
        any={"python": "typed_jobs:anything"},
    )
    assert await found["split"].refusal({"words": "a b"}) is None, "its annotation converts a text, and is asked"
    assert await found["split"].at_launch({}) is None
    assert await found["absent"].refusal({"x": 1}) is None
    assert await found["any"].refusal({"x": 1}) is None
    assert await found["split"].completed({"words": "a"}) == {"words": "a"}


UNREADABLE = {
    "typed_jobs:none_such": "there is no 'none_such' in typed_jobs",
    "no_such_module:Load": "there is no module 'no_such_module'",
    "typed_jobs:Odd": "is no model, and no function",
    "typed_jobs:Size": "is no mapping of names to values",
    "broken:Load": "SyntaxError",
    "ends:Load": "SystemExit: 3",
    "dies:Load": "ended Python when it was imported",
}


async def test_a_schema_that_cannot_be_read_fails_the_run_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "ends.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "dies.py").write_text("import os; os.kill(os.getpid(), 9)\n")
    written = {f"j{number}": {"command": ["x"], "config_schema": name} for number, name in enumerate(UNREADABLE)}
    found = schemas(tmp_path, **written)
    for (name, why), job in zip(UNREADABLE.items(), found.values(), strict=True):
        refused = await job.at_launch({})
        assert refused is not None
        assert refused.startswith(f"config_schema: {name}: ")
        assert why in refused
        assert await job.now() is None


async def test_a_model_that_holds_itself_and_a_function_may_be_written_down(tmp_path: Path) -> None:
    found = schemas(
        tmp_path,
        tree={"command": ["x"], "config_schema": "typed_jobs:Tree"},
        call={"command": ["x"], "config_schema": "typed_jobs:split"},
    )
    assert [one.name for one in parameters_of(await found["tree"].now())] == ["name", "below"]
    assert await found["tree"].at_launch({"name": "a", "below": [{"name": "b"}]}) is None
    assert await found["tree"].at_launch({"name": "a", "below": [{}]}) is not None
    assert await found["call"].at_launch({"words": "a b"}) is not None, "what is written down is kept to"


async def test_it_is_read_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import os\nfrom pydantic import BaseModel\nopen('reads', 'a').write('x')\nclass A(BaseModel):\n    a: int\n"
    )
    job = schemas(tmp_path, a={"command": ["x"], "config_schema": "model:A"})["a"]
    for _ in range(3):
        assert await job.at_launch({"a": 1}) is None
    assert (tmp_path / "reads").read_text() == "x"
    (tmp_path / "model.py").write_text("from pydantic import BaseModel\nclass A(BaseModel):\n    another: str\n")
    assert await job.at_launch({"a": 1}) == "$: 'another' is a required property"


async def test_a_file_that_comes_late_is_found_after_a_while(tmp_path: Path) -> None:
    at = 0.0
    job = schemas(tmp_path, replace(SYSTEM, monotonic=lambda: at), a={"command": ["x"], "config_schema": "late:A"})["a"]
    assert await job.now() is None
    (tmp_path / "late.py").write_text("def A(n: int): ...\n")
    assert await job.now() is None, "a failure is not repeated for every run"
    at = AGAIN_SECONDS
    assert [one.name for one in parameters_of(await job.now())] == ["n"]


def test_the_command_line_completes_converts_and_shows_parameters(tmp_path: Path) -> None:
    schemas(tmp_path, a={"python": "typed_jobs:load"})
    folder = Path(sys.executable).parent

    def sensord(*words: str, **env: str) -> str:
        done = subprocess.run(
            [folder / "sensord", *words],
            cwd=tmp_path,
            env=os.environ | env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def completed(line: str) -> list[str]:
        return sensord(
            _SENSORD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1)
        ).split()

    assert completed("sensord launch a -p ") == ["path=", "day=", "cluster=", "size=", "n=", "how=", "sure=", "area="]
    shown = sensord("jobs", "show", "a")
    assert "\n  how      all | some, by default all\n" in shown
    assert "\n  day      text  (needed)\n" in shown
    run = sensord("launch", "a", "-p", "path=1", "-p", "day=2026-01-02", "-p", "cluster=c", "-p", "n=4", "--json")
    assert json.loads(run.partition("\nit starts")[0])["run_config"] == {
        "path": "1",
        "day": "2026-01-02",
        "cluster": "c",
        "n": 4,
    }
