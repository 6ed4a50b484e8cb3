from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sensord.config import Config, JobConfig
from sensord.config.parts import LAUNCHERS
from sensord.launchers.command import CommandConfig
from sensord.sources.directory import DirectoryConfig
from tests.config.writing import ENVIRON, EXAMPLE, JOB, config, problems, said


def test_the_documented_example_is_taken_and_read_as_documented(tmp_path: Path) -> None:
    loaded = config(tmp_path, EXAMPLE, ENVIRON)
    job, sensor = loaded.jobs["load_houses"], loaded.sensors["houses_drop"]
    assert loaded.database == f"sqlite:///{tmp_path}/sensord.db"
    assert loaded.state == tmp_path / ".sensord"
    assert loaded.http.token is not None
    assert loaded.http.token.get_secret_value() == "http-canary-2"
    assert (job.kind, job.timeout, job.retry.attempts, job.retry.backoff, job.concurrency) == (
        "command",
        1800,
        3,
        10,
        2,
    )
    assert job.launcher == CommandConfig(command=["python", "load.py"], env={"REGION": "eu"}, cwd=tmp_path / "etl")
    assert (sensor.kind, sensor.jobs, sensor.when) == ("directory", ("load_houses",), "file.size > 0")
    assert isinstance(sensor.source, DirectoryConfig)
    assert (sensor.source.path, sensor.source.settle) == (tmp_path / "incoming", 2.0)
    assert [(one.topic, one.to, one.where) for one in loaded.subscriptions] == [
        ("bp.houses.>", "telegram:-100123456", {"severity": ">=warning"}),
        ("runs.*.failed", "slack:#data-alerts", {}),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "jobs: {load: {comand: [x]}}",
            "1:15: jobs.load.comand: unknown key; did you mean 'command'?",
        ),
        ("jobs: {load: {timeout: 5s}}", "1:8: jobs.load: no launcher; a job has exactly one launcher of: command"),
        ("jobs: {load: }", "1:14: jobs.load: expected a mapping, found nothing"),
        ("jobs: {load: {command: []}}", "1:24: jobs.load.command: expected at least 1 element, found a list"),
        (
            "jobs: {load: {command: x}}",
            "1:24: jobs.load.command: expected a list, found 'x'",
        ),
        (
            "jobs: {load: {command: [x, 5]}}",
            "1:28: jobs.load.command[1]: expected text, found 5; put it in quotes",
        ),
        ("jobs: {load: {command: [x], launcher: y}}", "1:29: jobs.load.launcher: unknown key"),
        ("jobs: {a.b: {command: [x]}}", "1:8: jobs.'a.b': a name is 1 to 100 letters"),
        ("jobs: {load: {command: [x], timeout: 0s}}", "1:38: jobs.load.timeout: expected more than 0, found '0s'"),
        ("jobs: {load: {command: [x], timeout: 40000d}}", "expected at most 3,153,600,000.0, found '40000d'"),
        ("jobs: {load: {command: [x], timeout: soon}}", "1:38: jobs.load.timeout: 'soon' is not a duration"),
        (
            "jobs: {load: {command: [x], retry: {attempts: 0}}}",
            "jobs.load.retry.attempts: expected at least 1, found 0",
        ),
        ("jobs: {load: {command: [x], retry: {attempts: 101}}}", "retry.attempts: expected at most 100, found 101"),
        ("jobs: {load: {command: [x], retry: {backoff: 11m}}}", "jobs.load.retry: max_backoff is shorter than backoff"),
        ("jobs: {load: {command: [x], concurrency: 0}}", "jobs.load.concurrency: expected at least 1, found 0"),
        (
            "jobs: {load: {command: [x], priority: high}}",
            "1:39: jobs.load.priority: expected a whole number, found 'high'",
        ),
        ("jobs: {load: {command: [x], tags: {n: 5}}}", "jobs.load.tags.n: expected text, found 5; put it in quotes"),
        ("jobs: {load: {command: [x], tags: {n: true}}}", "tags.n: expected text, found true; put it in quotes"),
        ("jobs: {load: {command: [x], hooks: {success: 'a.*'}}}", "1:46: jobs.load.hooks.success: topic 'a.*' holds"),
        ("jobs: {load: {command: [x], hooks: {sucess: a}}}", "hooks.sucess: unknown key; did you mean 'success'?"),
        (
            "jobs: {load: {command: [x], config_schema: {properties: {p: {type: strin}}}}}",
            "1:68: jobs.load.config_schema.properties.p.type: not a JSON Schema: 'strin' is not valid",
        ),
        (
            "jobs: {load: {command: [x], config_schema: {$ref: 'http://169.254.169.254/'}}}",
            "1:51: jobs.load.config_schema.$ref: a reference to another document".replace("$ref", "'$ref'"),
        ),
        ("jobs: {load: {command: [x], config_schema: {pattern: '['}}}", "config_schema.pattern: not a JSON Schema"),
        ("jbos: {}", "1:1: jbos: unknown key; did you mean 'jobs'?"),
        ("inclde: [x]", "1:1: inclde: unknown key; did you mean 'include'?"),
        ("jobs: [x]", "1:7: jobs: expected a mapping, found a list"),
        ("bus: nats://h:4222", "1:6: bus: NATS is not supported by this version; write bus: embedded"),
        ("bus: kafka", "1:6: bus: expected 'embedded', found 'kafka'"),
        ("log: {format: xml}", "1:15: log.format: expected 'text' or 'json', found 'xml'"),
        ("concurrency: 1.5", "1:14: concurrency: expected a whole number, found 1.5"),
        ("http: {port: 70000}", "1:14: http.port: expected at most 65,535, found 70000"),
        ("http: {host: 0.0.0.0}", "1:7: http: host '0.0.0.0' can be reached from outside, and there is no token"),
        ("http: {host: ''}", "1:14: http.host: expected text that is not empty, found ''"),
        ("http: {token: ''}", "1:15: http.token: empty; give it a value or leave the key out"),
        ("telegram: {}", "1:1: telegram.token: missing; it must be given"),
        ("owner: nobody", "1:8: owner: destination 'nobody' is not CHANNEL:TARGET"),
        (
            "owner: 'mail:me'",
            "1:8: owner: the channel 'mail' is none of telegram, slack, webhook, apprise, console, inbox",
        ),
        ("owner: 'slack:'", "1:8: owner: 'slack:' names no target; write slack:TARGET"),
        ("owner: 'slack:#x'", "1:8: owner: slack is not configured; add a section 'slack:' with its token"),
        ("owner: 'webhook:x'", "1:8: owner: there is no webhook 'x'; webhooks: none"),
        (
            "webhooks: {hook: {url: 'https://x.example'}}\nowner: 'webhook:hok'",
            "2:8: owner: there is no webhook 'hok'; did you mean 'hook'?",
        ),
        ("subscriptions: [{topic: a}]", "1:17: subscriptions[0].to: missing"),
        ("subscriptions: [{topic: '>.a', to: 'inbox:'}]", "1:25: subscriptions[0].topic: pattern '>.a' has `>` before"),
        (
            "subscriptions: [{topic: a, to: 'inbox:', where: {severity: loud}}]",
            "1:60: subscriptions[0].where.severity: where: severity",
        ),
        ("database: mysql://h/d", "1:11: database: a database is sqlite:///FILE or postgresql://"),
        ("database: 'sqlite://'", "1:11: database: an SQLite database is a file"),
        ("database: 'sqlite:///:memory:'", "1:11: database: an SQLite database is a file"),
        ("database: postgresql://h", "1:11: database: not a whole postgresql://USER:PASSWORD@HOST/NAME"),
        ("retention: {events: 0s}", "1:21: retention.events: expected more than 0, found '0s'"),
    ],
)
def test_what_is_wrong_is_said_with_place_key_and_remedy(tmp_path: Path, text: str, complaint: str) -> None:
    assert any(complaint in one for one in said(tmp_path, text + "\n")), said(tmp_path, text + "\n")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("job: load", "2:11: sensors.s: no source; a sensor has exactly one source of: dagster, directory"),
        ("directry: {path: x}, job: load", "2:15: sensors.s.directry: unknown key; did you mean 'directory'?"),
        ("directory: {}, job: load", "2:15: sensors.s.directory.path: missing"),
        (
            "directory: {path: x, patern: y}, job: load",
            "2:36: sensors.s.directory.patern: unknown key; did you mean 'pattern'?",
        ),
        (
            "directory: {path: x, pattern: 5}, job: load",
            "2:45: sensors.s.directory.pattern: expected text or a list, found 5; put it in quotes",
        ),
        ("directory: {path: x}, job: laod", "2:42: sensors.s.job: there is no job 'laod'; did you mean 'load'?"),
        ("directory: {path: x}, job: [load, x]", "2:49: sensors.s.job[1]: there is no job 'x'; jobs: load"),
        ("directory: {path: x}, job: [load, load]", "2:14: sensors.s: jobs: load, load names one job twice"),
        ("directory: {path: x}, job: []", "2:14: sensors.s: jobs: name at least one job"),
        ("directory: {path: x}", "2:11: sensors.s.job: missing"),
        ("directory: {path: x}, job: load, run_key: '{{ file.'", "2:57: sensors.s.run_key: template '{{ file.'"),
        ("directory: {path: x}, job: load, when: '1 +'", "2:54: sensors.s.when: expression '1 +'"),
        (
            "directory: {path: x}, job: load, run_config: {a: [b, '{{ x']}",
            "2:68: sensors.s.run_config.a[1]: template '{{ x'",
        ),
        ("directory: {path: x}, job: load, run_config: 5", "sensors.s.run_config: expected a mapping, found a number"),
        ("directory: {path: x}, job: load, tags: {t: '{{ x'}", "2:58: sensors.s.tags.t: template '{{ x'"),
        ("directory: {path: x}, job: load, source: y", "sensors.s.source: unknown key"),
    ],
)
def test_what_is_wrong_with_a_sensor_is_said_with_its_place(tmp_path: Path, keys: str, complaint: str) -> None:
    found = said(tmp_path, f"{JOB}sensors: {{s: {{{keys}}}}}\n")
    assert any(complaint in one for one in found), found


def test_a_misspelt_launcher_is_one_problem_not_two(tmp_path: Path) -> None:
    assert said(tmp_path, "jobs:\n  load:\n    comand: [x]\n    env: {A: b}\n") == [
        "sensord.yaml:3:5: jobs.load.comand: unknown key; did you mean 'command'?"
    ]


def test_a_launcher_that_does_not_exist_is_told_which_there_are(tmp_path: Path) -> None:
    fields = {name for _, model in LAUNCHERS for name in model.model_fields}
    known = {*fields, *JobConfig.model_fields} - {"launcher"}
    assert said(tmp_path, "jobs: {load: {airflow: {dag: x}}}\n") == [
        "sensord.yaml:1:8: jobs.load: no launcher; a job has exactly one launcher of: command, dagster, http, python",
        f"sensord.yaml:1:15: jobs.load.airflow: unknown key; known keys: {', '.join(sorted(known))}",
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        http: {port: x, hst: y}
        jobs: {a: {comand: [x]}}
        sensors: {s: {job: b, when: '1 +'}}
        owner: 'slack:#a'
        bsu: x
        """,
    )
    assert [one.key for one in found] == [
        "http.port",
        "http.hst",
        "jobs.a.comand",
        "sensors.s",
        "sensors.s.job",
        "sensors.s.when",
        "owner",
        "bsu",
    ]
    assert (found[0].line, found[0].column, found[0].found, found[0].expected) == (2, 14, "'x'", "a whole number")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    assert config(tmp_path, f"http: {{host: '{host}'}}").http.token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "0"])
def test_any_other_host_needs_a_token(tmp_path: Path, host: str) -> None:
    (found,) = said(tmp_path, f"http: {{host: '{host}'}}")
    assert "set http.token" in found
    assert config(tmp_path, f"http: {{host: '{host}', token: abcdef}}").http.host == host


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("postgresql://u:canary-pw@h:5432/d", "postgresql://u@h:5432/d"),
        ("postgresql://u:canary-pw@[::1]/d?password=canary-pw", "postgresql://u@[::1]/d"),
        ("postgresql:///d?host=/run", "postgresql:///d"),
        ("sqlite:////var/lib/s.db", "sqlite:////var/lib/s.db"),
    ],
)
def test_a_database_is_shown_without_its_password(tmp_path: Path, written: str, label: str) -> None:
    loaded = config(tmp_path, f"database: {written}\n")
    assert (loaded.database, loaded.database_label) == (written, label)
    assert "canary-pw" not in f"{loaded!r} {loaded} {loaded.model_dump_json()} {loaded.model_dump()}"


def test_paths_start_at_the_folder_of_the_file_as_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path / "real"
    config(real, "state: s\ndatabase: sqlite:///d/x.db\n" + JOB)
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(tmp_path)
    loaded = load_here(Path("link/sensord.yaml"))
    assert loaded.state == tmp_path / "link/s"
    assert loaded.database == f"sqlite:///{tmp_path}/link/d/x.db"
    assert isinstance(loaded.jobs["load"].launcher, CommandConfig)
    assert loaded.jobs["load"].launcher.cwd is None


def load_here(path: Path) -> Config:
    from sensord.config import load

    return load(path, {})


def test_reading_configuration_imports_nothing_heavy() -> None:
    program = (
        "import sys; import sensord.config; "
        "print(sorted({'aiohttp','sqlalchemy','telegram','slack_sdk','watchdog','httpx','jsonschema'}"
        " & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_thousand_sensors_stay_within_the_limits(tmp_path: Path) -> None:
    jobs = "".join(f"  j{n}: {{command: [x, y], retry: {{attempts: 3}}, tags: {{team: geo}}}}\n" for n in range(1000))
    sensors = "".join(f"  s{n}: {{directory: {{path: in}}, job: j{n}}}\n" for n in range(1000))
    loaded = config(tmp_path, f"jobs:\n{jobs}sensors:\n{sensors}")
    assert (len(loaded.jobs), len(loaded.sensors)) == (1000, 1000)
