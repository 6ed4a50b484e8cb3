"""Real Airflow and Prefect in environments of their own, made on first use, and their projects' runs on our bus.

`SENSORD_AIRFLOW_PYTHON` and `SENSORD_PREFECT_PYTHON` name the interpreters of environments that are there already.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WANTED = {
    "airflow": ["apache-airflow-core==3.3.2", "apache-airflow-task-sdk==1.3.2"],
    "prefect": ["prefect==3.8.8", "fastapi==0.139.0"],  # Its own server does not start with later releases of FastAPI.
}


def interpreter(name: str) -> Path:
    """The interpreter that has the framework. Blocks while it is installed, a minute or two."""
    if there := os.environ.get(f"SENSORD_{name.upper()}_PYTHON"):
        return Path(there)
    place = ROOT / f".venv-{name}"
    python, made = place / "bin" / "python", place / "made-from.txt"
    wanted = "\n".join(WANTED[name])
    with Path(f"{place}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *WANTED[name]], check=True)
            made.write_text(wanted)
    return python


def run_project(name: str, home: Path, url: str, *words: str) -> str:
    """Have tests/NAME/project.py run there, with a home of its own; what it printed."""
    python = interpreter(name)
    env = {
        **os.environ,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "SENSORD_URL": url,
        "SENSORD_SPOOL": str(home / "spool"),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "tests" / "airflow"),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_UI_URL": "http://prefect.test:4200",
        "DO_NOT_TRACK": "1",
    }
    if name == "airflow":
        subprocess.run([python.with_name("airflow"), "db", "migrate"], env=env, check=True, capture_output=True)
    script = ROOT / "tests" / name / "project.py"
    done = subprocess.run(
        [python, script, *words], env=env, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
