from __future__ import annotations

import json
import subprocess
import sys
import traceback
from pathlib import Path
from textwrap import dedent
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensord.config import ConfigError, load
from sensord.secrets import Redactor, one_line, redact
from tests.config.writing import write

CANARY = "canary"
SECRETS = st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6)


@given(secret=SECRETS, before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_secret_is_replaced_in_every_form_it_is_written_in(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register([secret])
    forms = [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]]
    forms += [json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], one_line(secret), secret.strip()]
    for form in forms:
        assert form not in redactor.redact(f"{before}{form}{after}").replace("***", "")
        assert redactor.redact(form) == "***" or form.strip() != form
    assert secret not in repr(redactor)


def test_of_secrets_that_contain_each_other_the_longest_goes_as_a_whole() -> None:
    redactor = Redactor()
    redactor.register(["abcdef", "abcdefghi"])
    redactor.register(["cdefgh"])
    assert redactor.redact("1 abcdefghi 2 abcdef 3 cdefgh") == "1 *** 2 *** 3 ***"


def test_short_values_are_left_alone_inside_text() -> None:
    redactor = Redactor()
    redactor.register(["a", "", "12345", "  ab  "])
    assert redactor.redact("a banana 12345") == "a banana 12345"


def test_each_long_line_of_a_secret_of_many_lines_is_a_secret() -> None:
    redactor = Redactor()
    redactor.register(["-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort\n"])
    assert redactor.redact("got MIIEvQIBADANBg, short") == "got ***, short"


@given(st.text())
def test_one_line_is_one_line_and_shows_nothing_that_moves_the_cursor(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(char in line for char in "\x1b\x00\x07\x08\u202e\u2066\u200b\x9b")
    line.encode()


PLANTED = """\
database: postgresql://user:canary-database@host/db
http: {token: canary-literal}
telegram: {token: "${PLAIN}"}
slack: {token: "${file:token}", app_token: "xapp-${APP}"}
webhooks:
  w:
    url: "https://example.com/canary-url/x"
    secret: "${file:token}"
    headers: {Authorization: "Bearer canary-header"}
jobs:
  load: {command: [x], env: {PGPASSWORD: "${PGPASSWORD}", PLAIN_FILE: "${file:other}"}}
"""
ENVIRON = {"PLAIN": "1:canary-plain", "APP": "canary-app", "PGPASSWORD": "canary-env-password"}


def planted(folder: Path, text: str = PLANTED) -> Path:
    write(folder, "canary-file\n", "token")
    write(folder, "canary-other\n", "other")
    return write(folder, text)


def test_no_output_of_a_configuration_shows_a_secret(tmp_path: Path) -> None:
    loaded = load(planted(tmp_path), ENVIRON)
    assert loaded.telegram is not None
    assert loaded.telegram.token.get_secret_value() == "1:canary-plain"
    assert loaded.jobs["load"].launcher.model_dump()["env"]["PGPASSWORD"] == "canary-env-password"
    shown = [repr(loaded), str(loaded), loaded.model_dump_json(), f"{loaded.jobs} {loaded.webhooks} {loaded.slack}"]
    shown += [loaded.database_label, str(loaded.model_dump(mode="json"))]
    for text in shown:
        assert CANARY not in text


@pytest.mark.parametrize(
    "secret",
    [
        "canary-database",
        "canary-literal",
        "canary-file",
        "canary-other",
        "canary-app",
        "xapp-canary-app",
        "1:canary-plain",
        "1%3Acanary-plain",
        "canary-url",
        "Bearer canary-header",
        "canary-env-password",
    ],
)
def test_loading_makes_every_secret_known_to_the_redactor(tmp_path: Path, secret: str) -> None:
    load(planted(tmp_path), ENVIRON)
    text = f"<https://example.com/{secret}/x>"
    assert CANARY not in redact(text)


def test_variables_that_are_no_secrets_stay_readable(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs: {token_refresh: {command: [x], env: {REGION: '${REGION}'}, cwd: '${WORK}'}}")
    load(path, {"REGION": "europe-north", "WORK": "/somewhere"})
    assert redact("europe-north /somewhere") == "europe-north /somewhere"


@pytest.mark.parametrize(
    "text",
    [
        "telegram: {token: 'canary-x', tokn: canary-y}",
        "telegram: {token: [canary-x]}",
        "telegram: {token: {canary-x: canary-y}}".replace("canary-x:", "x:"),
        "telegram: canary-x",
        "http: {port: '${PLAIN}'}",
        "http: {port: '${file:token}'}",
        "http: {token: 12345678, port: canary}".replace("canary", "x"),
        "concurrency: '${PLAIN}'",
        "owner: '${PLAIN}'",
        "owner: '${file:token}'",
        "subscriptions: [{topic: '${file:token}.*x', to: 'slack:${file:token}'}]",
        "jobs: {load: {command: [x], timeout: '${file:token}', env: {A_TOKEN: 5, B: '${PLAIN}'}}}",
        "jobs: {load: {command: [x], priority: '${PLAIN}'}}",
        "jobs: {load: {command: [x], timeout: '${PLAIN}'}}",
        "jobs: {load: {command: '${PLAIN}'}}",
        "webhooks: {w: {url: 'ftp://canary-host/x', timeout: '${PLAIN}', headers: {Authorization: [canary]}}}",
        "webhooks: {w: {url: 'https://canary-host:canary-port/'}}",
        "webhooks: {w: {url: 'https://example.com', headers: {Authorization: \"Bearer canary\\x7f\"}}}",
        "database: postgresql://u:canary-pa/ss@h/d",
        "database: postgresql://u:canary@pa@h/d",
        "database: mysql://u:canary-pass@h/d",
        "database: [canary]",
        "slack: {token: *canary}",
        "slack: {token: !canary x}",
        "slack: {token: canary: x}",
        "slack: {token: 'canary}",
        "slack: {token: @canary}",
        "slack: {token: `canary`}",
        'slack: {token: "canary\\q"}',
        "log: {level: '${PLAIN}'}",
        "bus: '${PLAIN}'",
    ],
)
def test_no_problem_quotes_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(planted(tmp_path, text + "\n"), ENVIRON)
    told = "".join(traceback.format_exception(caught.value)) + f"{caught.value!r} {caught.value.problems!r}"
    assert CANARY not in told.replace(str(tmp_path), "")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


PROGRAM = """
    import logging, sys, threading, warnings
    from pathlib import Path
    from sensord.config import load
    from sensord.logs import setup_logging

    setup_logging(level="debug", format=sys.argv[2])
    environ = {"PLAIN": "1:canary-plain", "APP": "canary-app", "PGPASSWORD": "canary-env-password"}
    config = load(Path(sys.argv[1]), environ)
    token = config.telegram.token.get_secret_value()
    url = f"https://api.telegram.org/bot{token}/getMe"
    log, other = logging.getLogger("ours"), logging.getLogger("httpx")

    class Leaky:
        def __repr__(self):
            return f"<Leaky {token}>"

    known = {"nested": {"k": [token, Leaky()], token: 1}, "leaky": Leaky(), "raw": token.encode(), token: token}
    log.info("said", extra={"url": url, **known})
    log.info(token + "\\x1b[31m\\nforged 2026 line\\u202e", extra={"file": "a\\r\\nb"})
    other.info("HTTP Request: GET %s", url)
    other.info("args %s %r", token, {"t": token})
    other.info("do not fit %d", token)
    other.info("stack", stack_info=True)
    other.debug(Leaky())
    for raiser in (log, other):
        try:
            try:
                raise ValueError(f"inner {token}")
            except ValueError as inner:
                raise RuntimeError(f"outer {url}") from inner
        except RuntimeError:
            raiser.exception("failed")
    warnings.warn(f"warned {token}")
    thread = threading.Thread(target=lambda: int(token))
    thread.start()
    thread.join()
    print("done", flush=True)
    raise SystemError(f"the end {url}")
"""
EVENTS = 12


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_real_process_logs_no_secret_and_one_line_per_event(tmp_path: Path, form: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, str(script), str(planted(tmp_path)), form],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "done\n"
    lines = done.stderr.splitlines()
    assert CANARY not in done.stderr
    assert len(lines) == EVENTS, done.stderr
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    if form == "json":
        events = [json.loads(line) for line in lines]
        first = [event["event"].split()[0] for event in events]
        assert first[:9] == ["said", "***\x1b[31m", "HTTP", "args", "do", "stack", "<Leaky", "failed", "failed"]
        assert first[9].startswith(str(script))
        assert first[10:] == ["ended", "ended"]
        assert {"timestamp", "level", "logger"} <= set(events[0])
        assert events[0]["url"] == "https://api.telegram.org/bot***/getMe"
        assert "RuntimeError: outer" in events[7]["exception"]
    else:
        assert "HTTP Request: GET https://api.telegram.org/bot***/getMe" in lines[2]
        assert r"***\x1b[31m\nforged 2026 line\u202e" in lines[1]


def test_a_line_that_the_stream_cannot_take_is_told_without_its_content() -> None:
    program = """
        import logging, sys
        from sensord.logs import setup_logging

        class Full:
            def write(self, text): raise OSError(28, "canary no space")
            def flush(self): pass

        setup_logging(stream=Full())
        logging.getLogger("a.b").error("canary %s", "canary")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == "a log line of a.b could not be written: OSError\n"
