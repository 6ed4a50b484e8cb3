"""Something sensed and a rule: what is to run because of it, or why nothing is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import Struct

from rules.request import RunRequest, Sensed, SkipReason
from rules.templates import (
    Expression,
    TemplateError,
    TextTemplate,
    Tree,
    compile_expression,
    compile_text,
    compile_tree,
)


class RuleError(ValueError):
    """A rule that cannot be compiled, or not be applied to what was sensed; begins with the key at fault."""


class Rule(Struct, frozen=True, kw_only=True):
    """What a sensor asks for. Made by `compile_rule`.

    Templates see the sensed thing's context, and the thing itself as `subject` and `key`.
    """

    jobs: tuple[str, ...]
    run_key: TextTemplate | None
    run_config: Tree
    tags: Tree
    when: Expression | None
    partition_key: TextTemplate | None
    priority: int


def compile_rule(
    *,
    jobs: Sequence[str],
    run_key: str | None = None,
    run_config: Mapping[str, Any] | str | None = None,
    tags: Mapping[str, Any] | None = None,
    when: str | None = None,
    partition_key: str | None = None,
    priority: int = 0,
) -> Rule:
    """Compile a rule once; RuleError names the key that cannot be. `run_config` may be one `{{ expression }}`."""
    if isinstance(jobs, str) or not jobs:
        raise RuleError("jobs: name at least one job")
    if len(set(jobs)) < len(jobs):
        raise RuleError(f"jobs: {', '.join(jobs)} names one job twice")
    key = ""
    try:
        key = "run_key"
        run_key_template = None if run_key is None else compile_text(run_key)
        key = "run_config"
        run_config_tree = compile_tree({} if run_config is None else run_config)
        key = "tags"
        tags_tree = compile_tree({} if tags is None else tags)
        key = "when"
        when_expression = None if when is None else compile_expression(when)
        key = "partition_key"
        partition_key_template = None if partition_key is None else compile_text(partition_key)
    except TemplateError as error:
        raise RuleError(f"{key}: {error}") from error
    return Rule(
        jobs=tuple(jobs),
        run_key=run_key_template,
        run_config=run_config_tree,
        tags=tags_tree,
        when=when_expression,
        partition_key=partition_key_template,
        priority=priority,
    )


def decide(rule: Rule, sensed: Sensed) -> tuple[RunRequest, ...] | SkipReason:
    """One request for each of the rule's jobs, or why there is none. The same thing sensed gives equal answers.

    What the source decided by itself is completed: a request that names no job is for each of the rule's, one that
    does is for that one alone, which must be among them; the rule's tags are under its own; and where it has no
    priority it has the rule's. Its run_key, run_config and partition_key stay as they are, None included.

    Otherwise, without a `run_key` or a `partition_key` the sensed thing's own is taken. Values of tags become text (of
    numbers and the like, as JSON writes them); a partition key that turns out empty is none. RuleError names the key
    that cannot be evaluated, among them a run_key that turns out empty or a run_config that is no mapping.
    """
    context = {**sensed.context, "subject": sensed.subject, "key": sensed.key}
    if sensed.decided is not None:
        return _completed(rule, sensed.decided, context)
    key = "when"
    try:
        if rule.when is not None and not rule.when.evaluate(context):
            return SkipReason(f"when: {rule.when.source} is false")
        key = "run_key"
        run_key = sensed.key if rule.run_key is None else rule.run_key.render(context)
        key = "run_config"
        run_config = rule.run_config.render(context)
        key = "tags"
        tags = {**sensed.tags, **{name: _tag(value) for name, value in rule.tags.render(context).items()}}
        key = "partition_key"
        partition_key = sensed.partition_key if rule.partition_key is None else rule.partition_key.render(context)
    except TemplateError as error:
        raise RuleError(f"{key}: {error}") from error
    if not run_key.strip():
        source = "the source's own key" if rule.run_key is None else repr(rule.run_key.source)
        raise RuleError(f"run_key: {source} is empty for {sensed.subject}; it must name what is to run once")
    if not isinstance(run_config, dict):
        raise RuleError(f"run_config: it is {type(run_config).__name__} for {sensed.subject}; it must be a mapping")
    return tuple(
        RunRequest(
            run_key=run_key,
            run_config=run_config,
            tags=tags,
            job_name=job,
            partition_key=partition_key or None,
            priority=rule.priority,
        )
        for job in rule.jobs
    )


def _completed(
    rule: Rule, decided: tuple[RunRequest, ...] | SkipReason, context: Mapping[str, Any]
) -> tuple[RunRequest, ...] | SkipReason:
    if isinstance(decided, SkipReason):
        return decided
    try:
        tags = rule.tags.render(context)
    except TemplateError as error:
        raise RuleError(f"tags: {error}") from error
    return tuple(
        replace(
            request,
            job_name=job,
            tags={name: _tag(value) for name, value in {**tags, **request.tags}.items()},
            priority=request.priority or rule.priority,
        )
        for request in decided
        for job in _jobs(rule, request)
    )


def _jobs(rule: Rule, request: RunRequest) -> tuple[str, ...]:
    if request.run_key is not None and not request.run_key.strip():
        raise RuleError("run_key: it is empty; it must name what is to run once, or be None to run always")
    if request.job_name is None:
        return rule.jobs
    if request.job_name not in rule.jobs:
        raise RuleError(f"job: {request.job_name!r} is asked for, and the sensor's are {', '.join(rule.jobs)}")
    return (request.job_name,)


def _tag(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
