"""What the doctor asks of those who run jobs elsewhere: whether they are there. Nothing is launched by it.

Of an endpoint only a connection is made, with TLS where its address says so: any request might start something.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import anyio
import anyio.streams.tls
from anyio.abc import ByteStream, SocketAttribute

from notifiers.channels.webhook_guard import public
from notifiers.clock import SYSTEM
from sensord.config import Config, JobConfig
from sensord.job_schemas import JobSchema, job_schemas
from sensord.launchers.dagster import DagsterJobConfig
from sensord.launchers.http import HttpConfig, origin_of
from sensord.launchers.python import PythonConfig
from sensord.secrets import one_line, redact

SECONDS = 10.0
"""How long somebody else may take to answer."""
_AT_ONCE = 8
_DAGSTER = """query Doctor($job: PipelineSelector!) { version pipelineOrError(params: $job) { __typename
  ... on PipelineNotFoundError { message } ... on InvalidSubsetError { message } ... on PythonError { message } } }"""

Found = tuple[str, bool, str]
"""What was looked at, whether it is well, and a sentence."""


def look_at_launchers(config: Config) -> list[Found]:
    """What can be said of each job's other side, in their order; nothing where nothing is launched. Blocks."""
    return anyio.run(_all, config) if config.launches else []


async def _all(config: Config) -> list[Found]:
    schemas = job_schemas(config, clock=SYSTEM)
    found: dict[str, list[Found]] = {name: [] for name in config.jobs}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look(name: str, job: JobConfig) -> None:
        async with limit:
            found[name] += [one async for one in _of_job(name, job, schemas[name])]

    async with anyio.create_task_group() as group:
        for name, job in config.jobs.items():
            group.start_soon(look, name, job)
    return [one for some in found.values() for one in some]


async def _of_job(name: str, job: JobConfig, schema: JobSchema) -> AsyncIterator[Found]:
    what, launcher = f"job {name}", job.launcher
    if isinstance(launcher, HttpConfig):
        for origin in dict.fromkeys(origin_of(one) for one in launcher.http.addresses()):
            yield (what, *await _origin(origin, private=launcher.http.allow_private))
    elif isinstance(launcher, DagsterJobConfig):
        yield (what, *await _dagster(launcher))
    if schema.of_a_module:
        trouble = await schema.trouble()
        module = launcher.python if isinstance(launcher, PythonConfig) else "its config_schema"
        yield what, trouble is None, f"{module} can be imported" if trouble is None else f"{trouble}; mend it, or path"


async def _origin(origin: str, *, private: bool) -> tuple[bool, str]:
    """Whether somebody listens there, with a certificate that holds."""
    parts = urlsplit(origin)
    host, secure = parts.hostname or "", parts.scheme == "https"
    try:
        with anyio.fail_after(SECONDS):
            stream: ByteStream = await anyio.connect_tcp(host, parts.port or (443 if secure else 80))
            async with stream:
                address = str(stream.extra(SocketAttribute.remote_address)[0])  # noqa: S610 - no Django
                if not private and not public(address):
                    return False, f"{origin} is {address}, which is not public: set allow_private, if that is meant"
                if secure:
                    await anyio.streams.tls.TLSStream.wrap(
                        stream, hostname=host, ssl_context=ssl.create_default_context(), standard_compatible=False
                    )
    except TimeoutError:
        return False, f"{origin} does not answer within {SECONDS:.0f} s: check the address and what is between"
    except ssl.SSLError as error:
        return False, f"{origin} has no certificate that holds ({_short(error)}): mend it, or check the address"
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return False, f"{origin} cannot be reached ({_short(error)}): start it, or check url"
    return True, f"{origin} takes connections" + (", and its certificate holds" if secure else "")


async def _dagster(config: DagsterJobConfig) -> tuple[bool, str]:
    """Which Dagster it is, and whether it has the job."""
    from sensord.elsewhere_side import AwayError, RefusedError, UnansweredError
    from sensord.launchers.dagster_jobs import Server, open_session
    from sensord.launchers.dagster_side import DagsterSide

    target = config.dagster
    try:
        async with open_session() as session:
            with anyio.fail_after(SECONDS):
                server = Server(target, session)
                place = await DagsterSide(target, server, SYSTEM).selector()
                names = {"pipelineName": target.job, **{key: place[key] for key in place if key != "jobName"}}
                said = await server.ask(_DAGSTER, {"job": names})
    except TimeoutError:
        return False, f"Dagster at {target.url} does not answer within {SECONDS:.0f} s"
    except AwayError as error:
        return False, f"{error}: start dagster-webserver there, or check url"
    except (RefusedError, UnansweredError) as error:
        return False, str(error)
    where = f"{place['repositoryName']} in {place['repositoryLocationName']}"
    if (kind := said["pipelineOrError"]["__typename"]) != "Pipeline":
        why = one_line(redact(str(said["pipelineOrError"].get("message") or kind)))[:300]
        return False, f"{server.name} has no job {target.job} in {where} ({why}): check job, repository and location"
    return True, f"{server.name} ({said['version']}) has the job {target.job} in {where}"


def _short(error: BaseException) -> str:
    causes: Sequence[BaseException] = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    cause = causes[0] if causes else error.__cause__ or error
    return one_line(redact(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__))[:200]
