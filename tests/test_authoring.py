"""What people write and test their sensors with, without a daemon."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest

import sensord
from sensord import RunRequest, SensorEvaluationContext, SkipReason, build_sensor_context, sensor


@sensor(job="load", minimum_interval_seconds=5)
def numbers(context: SensorEvaluationContext) -> Any:
    """Yields the next number."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    context.log.info("number %d", number)
    yield RunRequest(run_key=str(number), run_config={"number": number})


@sensor
def nothing() -> SkipReason:
    return SkipReason("there is nothing")


@sensor(job_name="load", name="later")
async def soon(context: SensorEvaluationContext) -> RunRequest:
    return RunRequest(run_key=context.sensor_name)


def test_a_sensor_is_tested_by_calling_it_with_a_context(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    context = build_sensor_context(cursor="7", sensor_name="mine")
    assert list(numbers(context)) == [RunRequest(run_key="8", run_config={"number": 8})]
    assert (context.cursor, context.cursor_updated) == ("8", True)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("sensord.sensors.mine", "number 8")]
    assert nothing() == nothing(context) == SkipReason("there is nothing")
    assert asyncio.run(soon(context)) == RunRequest(run_key="mine")


def test_a_new_context_is_that_of_a_first_evaluation() -> None:
    context = build_sensor_context()
    assert (context.cursor, context.cursor_updated, context.last_tick_completion_time) == (None, False, None)
    assert build_sensor_context(last_tick_completion_time=5.0).last_tick_completion_time == 5.0


def test_a_sensor_keeps_what_the_decorator_was_told() -> None:
    assert (numbers.name, numbers.job_name, numbers.minimum_interval_seconds) == ("numbers", "load", 5)
    assert (numbers.description, numbers.__doc__) == ("Yields the next number.", "Yields the next number.")
    assert (soon.name, soon.job_name, nothing.job_name) == ("later", "load", None)
    assert repr(soon) == "<sensor later>"
    assert sensor("load")(lambda: None).job_name == "load"
    assert sensor(job="load", job_name="load", description="d")(lambda: None).description == "d"


def test_a_cursor_is_text_that_can_be_kept() -> None:
    context = build_sensor_context(cursor="7")
    wrong: Any = 5
    with pytest.raises(TypeError, match=r"this is int; write str"):
        context.update_cursor(wrong)
    for text in ("a\0b", "\udcff"):
        with pytest.raises(ValueError, match="no NUL and no half of a character"):
            context.update_cursor(text)
    with pytest.raises(ValueError, match="at most 4,000,000 characters"):
        context.update_cursor("x" * 4_000_001)
    assert (context.cursor, context.cursor_updated) == ("7", False)
    context.update_cursor(None)
    assert (context.cursor, context.cursor_updated) == (None, True)


def test_what_cannot_be_a_sensor_is_refused_with_what_to_do() -> None:
    job: Any = object()
    with pytest.raises(TypeError, match=r"a job is named by text, e.g. job='log_file_job', and this is object"):
        sensor(job=job)
    with pytest.raises(ValueError, match="job is 'a' and job_name is 'b'; give one of them"):
        sensor("b", job="a")
    with pytest.raises(ValueError, match="minimum_interval_seconds is 0; it must be more than 0"):
        sensor(minimum_interval_seconds=0)(lambda: None)
    with pytest.raises(TypeError, match="wants context, client; a sensor is given nothing, or its context alone"):
        sensor(lambda context, client: (context, client))
    with pytest.raises(TypeError, match="sensor numbers takes a context; give it build_sensor_context"):
        numbers()


def test_what_people_import_loads_the_standard_library_alone() -> None:
    code = """
import sys
before = set(sys.modules)
from sensord import sensor, RunRequest, SkipReason, build_sensor_context
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['rules', 'sensord']\n"
    assert set(sensord.__all__) >= {"sensor", "RunRequest", "SkipReason", "build_sensor_context"}
