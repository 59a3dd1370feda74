"""The keys of an experiment's file that are not cells: their names and the sections beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from benchmark.aws_settings import AwsSettings
from benchmark.config.document import Node
from benchmark.config.experiment import LaunchSettings, ReportSettings, SearchSettings, TrackingSettings
from benchmark.config.keys import Keys, Rule, fields_of
from benchmark.config.problems import Problems, choose, shown
from benchmark.config.sampling import Sampling, Shares
from benchmark.metric_names import RANKABLE
from benchmark.run import RESOLVED, Run, key
from benchmark.slugs import is_slug, slug

SECTIONS = ("launch", "aws", "tracking", "report", "search")
UNNAMED = "my-experiment"
OF_RUNS = frozenset(each.name for each in fields(Run)) - RESOLVED
OF_STRATEGY = {"reduction": "halving", **dict.fromkeys(("trials", "startup", "batch", "seed"), "optuna")}
"""Keys of a search that only one strategy has."""
_BUCKET = re.compile(r"(s3://)?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?")
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/[A-Za-z0-9-]+")
_ARN_WORDS = (
    "uri is not the ARN of an MLflow of SageMaker's: arn:aws:sagemaker:REGION:ACCOUNT:mlflow-tracking-server/NAME"
)
_SECRET = re.compile(r"[?&](password|passwd|pwd|token|access_token|secret)=", re.IGNORECASE)
Section = TypeVar("Section", AwsSettings, TrackingSettings, ReportSettings, SearchSettings)


@dataclass(frozen=True)
class Titles:
    """The keys at the top of the file that hold text."""

    name: str = key("", "the experiment's name: its directory under results/, its name in MLflow")
    description: str = key("", "what the experiment is for, in words")


def titles(root: Node, stem: str, problems: Problems, *, apart: Collection[str]) -> Titles:
    """Name and description.  Also finds unknown keys at the top of the file; those in ``apart`` are read elsewhere."""
    beside = {*apart, *SECTIONS, *_title_keys().fields}
    there = root.value if isinstance(root.value, dict) else ()
    strays = [name for name in there if name in OF_RUNS - beside]
    for name in strays:
        told = f"{name} is a key of a run: write it under defaults, or under matrix where it varies"
        problems.add(root.key_mark(name), told)
    given = _title_keys().read(root, problems, apart=(*apart, *SECTIONS, *strays))
    if "name" not in root.value:
        problems.add(root.mark, f"the experiment has no name; write name: {slug(stem, UNNAMED)}")
    return Titles(**{name: each.value for name, each in given.items()})


@cache
def _title_keys() -> Keys:
    return Keys.of("TitleKeys", fields_of(Titles), {"name": _wrong_name})


def launch(root: Node, problems: Problems) -> LaunchSettings:
    """``workers`` is a count, ``auto``, or a mapping such as ``{count: 2, start: spawn}``."""
    node, aws = root.get("launch"), _aws(root, problems)
    if node is None:
        return LaunchSettings(aws=aws)
    fields = fields_of(LaunchSettings)
    start, _ = fields.pop("start"), fields.pop("aws")
    workers = node.get("workers")
    nested = workers if workers and isinstance(workers.value, dict) else None
    given = Keys.of("LaunchKeys", fields).read(node, problems, apart=("workers",) if nested else ())
    inner = Keys.of("WorkersKeys", {"count": fields["workers"], "start": start})
    more = inner.read(nested, problems) if nested else {}
    named = {"workers" if name == "count" else name: each.value for name, each in more.items()}
    return LaunchSettings(**{name: each.value for name, each in given.items()}, **named, aws=aws)


def _aws(root: Node, problems: Problems) -> AwsSettings:
    node = root.get("aws")
    rules: dict[str, Rule] = {"prices": _wrong_prices, "bucket": _wrong_bucket, "extra": _wrong_extra}
    settings = _section(AwsSettings, node, rules, problems)
    if node and bool(settings.subnets) != bool(settings.security_groups):
        problems.add(node.mark, "a VPC needs both subnets and security_groups")
    if node and settings.spot and settings.keep_alive:
        problems.add(
            node.key_mark("keep_alive"), "SageMaker keeps no spot instance warm: leave out keep_alive, or spot"
        )
    return settings


def tracking(root: Node, problems: Problems) -> TrackingSettings:
    return _section(TrackingSettings, root.get("tracking"), {"uri": _wrong_uri}, problems)


def report(root: Node, problems: Problems) -> ReportSettings:
    return _section(ReportSettings, root.get("report"), {"primary": _unranked}, problems)


def search(root: Node, problems: Problems) -> SearchSettings:
    node, wrong = root.get("search"), Problems()
    found = _section(SearchSettings, node, {}, wrong)
    if node and not wrong:
        for name in node.value:
            if OF_STRATEGY.get(name, found.strategy) != found.strategy != "none":
                wrong.add(node.key_mark(name), f"{name} means nothing with strategy: {found.strategy}; leave it out")
        if found.strategy == "optuna" and "trials" not in node.value:
            wrong.add(node.mark, "say how many configurations are tried: trials: 50")
    problems.extend(wrong.found)
    return found


def trials(root: Node, search: SearchSettings, chosen: Sequence[Shares]) -> Sampling | None:
    """How many trials a search draws, and those that it has ``chosen``; ``None`` where it chooses none."""
    node = root.get("search")
    if node is None or search.strategy != "optuna":
        return None
    return Sampling(search.drawn, search.seed, node.mark, tuple(chosen), search.trials)


def _section(kind: type[Section], node: Node | None, rules: Mapping[str, Rule], problems: Problems) -> Section:
    """The settings of a section, or their defaults."""
    if node is None:
        return kind()
    given = Keys.of(f"{kind.__name__}Keys", fields_of(kind), rules).read(node, problems)
    return kind(**{name: each.value for name, each in given.items()})


def _wrong_name(name: str) -> str | None:
    if is_slug(name):
        return None
    rule = "use 1 to 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first"
    return f"name {shown(name)} cannot be a directory's name everywhere; {rule}, for example {slug(name, UNNAMED)!r}"


def _wrong_uri(uri: str | None) -> str | None:
    """The message does not repeat the address, which has a secret."""
    try:
        if (uri or "").startswith("arn:") and not _ARN.fullmatch(uri or ""):
            return _ARN_WORDS
        place = urlsplit(uri or "")
    except ValueError:
        return "uri is not an address, for example http://localhost:5000 or sqlite:///mlflow.db"
    secret = place.password or _SECRET.search(uri or "") or (place.scheme in {"http", "https"} and place.username)
    if not secret:
        return None
    remedy = "give it in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return f"uri has a password or token in it; leave it out of the file and {remedy}"


def _wrong_prices(prices: Mapping[str, float]) -> str | None:
    wrong = next((name for name, price in prices.items() if price <= 0), None)
    return None if wrong is None else f"prices: {wrong} must cost more than 0; leave out what is not known"


def _wrong_bucket(bucket: str | None) -> str | None:
    if bucket is None or _BUCKET.fullmatch(bucket):
        return None
    return f"bucket cannot be {shown(bucket)}: write my-bucket, or s3://my-bucket/prefix"


def _wrong_extra(extra: Mapping[str, Any]) -> str | None:
    """By these a job is found again."""
    wrong = next((name for name in ("TrainingJobName", "Tags", "CheckpointConfig") if name in extra), None)
    remedy = "; further tags are aws: {tags: {NAME: VALUE}}" if wrong == "Tags" else ""
    return None if wrong is None else f"extra: {wrong} is ours, so that a job can be found again{remedy}"


def _unranked(name: str) -> str | None:
    if name in RANKABLE:
        return None
    tested = f"test/{name}"
    guess = f"; did you mean {tested!r}?" if tested in RANKABLE else choose(name, RANKABLE)
    return f"primary: unknown metric {shown(name)}{guess}"
