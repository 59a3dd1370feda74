"""What `doctor` asks of AWS for an experiment of mode aws: credentials, role, bucket, image, quotas, prices.

Nothing is made there and nothing downloaded.  What these credentials may not look at is said, and is in nobody's way:
a run need not be allowed to look.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.config import Experiment
from benchmark.config.experiment import LaunchSettings
from benchmark.doctor import Finding
from benchmark.prices import Prices
from launch import Unavailable, aws_clients, deep_learning
from launch.aws import role_arn
from launch.aws_clients import LOGIN, Clients
from launch.training_job import Bucket

HIDDEN = "these credentials may not look at it"
SAGEMAKER = "sagemaker.amazonaws.com"
_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:\w+))?")
_NO_IMAGE = ("ImageNotFoundException", "RepositoryNotFoundException")


@dataclass(frozen=True)
class Account:
    """Where and as whom AWS is asked."""

    clients: Clients
    number: str
    who: str

    @property
    def region(self) -> str:
        return self.clients.region_name


def findings(experiment: Experiment) -> Iterator[Finding]:
    """What AWS says of what the runs of ``experiment`` need; without credentials only what is known here."""
    launch, types = experiment.launch, _types(experiment)
    account = _account(launch)
    if isinstance(account, Finding):
        yield account
    else:
        yield Finding("AWS credentials", "ok", f"account {account.number}, {account.who}")
        yield Finding("AWS region", "ok", account.region)
        yield _role(launch, account)
        yield _bucket(launch, account)
        yield _image(launch, account)
        yield from _quotas(launch, types, account)
    prices = Prices.shipped(launch.aws.prices)
    yield from (_price(kind, prices, required=launch.aws.budget_usd is not None) for kind in types)


def _types(experiment: Experiment) -> Counter[str]:
    """How many runs there are on each type of instance."""
    return Counter(cell.run.instance_type or experiment.launch.aws.instance_type for cell in experiment.cells)


def _account(launch: LaunchSettings) -> Account | Finding:
    name = "AWS credentials"
    try:
        clients = Clients(launch.aws.profile, launch.aws.region)
        said = clients("sts").get_caller_identity()
    except Unavailable as error:
        found, *remedy = re.split(r"[:;] ", str(error).removeprefix("mode aws: "), maxsplit=1)
        return Finding("AWS region" if "region" in found else name, "wrong", found, *(remedy or [LOGIN]))
    except aws_clients.FAILURES as error:
        known = aws_clients.trouble(error) in ("expired", "denied")
        remedy = [LOGIN if known else "look at the network and at aws: {region: …}"]
        return Finding(name, "wrong", f"AWS does not say who you are: {aws_clients.said(error)}", *remedy)
    return Account(clients, str(said["Account"]), str(said["Arn"]))


def _role(launch: LaunchSettings, account: Account) -> Finding:
    try:
        arn = role_arn(launch.aws, account.number)
    except Unavailable as error:
        _, found, remedy = str(error).split(": ", 2)
        return Finding("AWS role", "wrong", found, remedy)
    if f":{account.number}:" not in arn:
        return Finding("AWS role", "wrong", f"{arn} is of another account", "name a role of your own account")
    try:
        role = account.clients("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    except aws_clients.FAILURES as error:
        if aws_clients.trouble(error) == "missing":
            return Finding("AWS role", "wrong", f"there is no role {arn}", "docs/sagemaker.md says how to make one")
        return _unseen("AWS role", arn, error)
    if not _trusts_sagemaker(role["AssumeRolePolicyDocument"]):
        remedy = (
            f"`aws iam update-assume-role-policy --role-name {role['RoleName']} --policy-document "
            "file://docs/aws/job-role-trust.json`, your account filled in"
        )
        return Finding("AWS role", "wrong", f"SageMaker may not assume {arn}", remedy)
    return Finding("AWS role", "ok", f"{arn}, which SageMaker may assume")


def _trusts_sagemaker(document: Mapping[str, Any]) -> bool:
    """Conditions are not looked at."""
    allowed = [each for each in _several(document.get("Statement")) if each.get("Effect") == "Allow"]
    principals = [each.get("Principal", {}) for each in allowed]
    return any(SAGEMAKER in _several(each.get("Service")) for each in principals if isinstance(each, Mapping))


def _several(value: Any) -> list[Any]:
    """One thing may stand for a list of it in a policy."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _bucket(launch: LaunchSettings, account: Account) -> Finding:
    """Whether it may be written is not tried."""
    bucket = Bucket.parse(launch.aws.bucket or f"sagemaker-{account.region}-{account.number}")
    make = f"`aws s3 mb s3://{bucket.name} --region {account.region}` makes it"
    other = "name another one: aws: {bucket: …}"
    try:
        said = account.clients("s3").head_bucket(Bucket=bucket.name)
    except aws_clients.FAILURES as error:
        trouble = aws_clients.trouble(error)
        if trouble == "missing":
            return Finding("AWS bucket", "wrong", f"there is no bucket {bucket.name}", f"{make}, or {other}")
        if trouble == "denied":
            found = f"you may not use {bucket.name}, or it is somebody else's"
            return Finding("AWS bucket", "wrong", found, f"{other}, or add docs/aws/orchestrator-policy.json")
        return _unseen("AWS bucket", bucket.name, error)
    region = said.get("BucketRegion") or said["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    if region and region != account.region:
        found = f"{bucket.name} is in {region}, the jobs in {account.region}"
        return Finding("AWS bucket", "wrong", found, f"{other}, or aws: {{region: {region}}}")
    return Finding("AWS bucket", "ok", f"{bucket.uri()} in {region or 'a region that is not told'}")


def _image(launch: LaunchSettings, account: Account) -> Finding:
    if "AlgorithmSpecification" in launch.aws.extra:
        return Finding("AWS image", "ok", "as aws: extra says; not looked at")
    if not launch.image:
        return _deep_learning(launch, account)
    found = _ECR.fullmatch(launch.image)
    if found is None:
        remedy = "push it to ECR (docs/sagemaker.md), or leave launch: image out for AWS's own"
        return Finding("AWS image", "wrong", f"{launch.image} is no address in ECR", remedy)
    owner, region, repository, tag, digest = found.groups()
    if region != account.region:
        remedy = f"push it to {account.region}, or set aws: {{region: {region}}}"
        return Finding("AWS image", "wrong", f"{launch.image} is in {region}, the jobs in {account.region}", remedy)
    if owner != account.number:
        return Finding("AWS image", "ok", f"{launch.image} of account {owner}; not looked at")
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    try:
        account.clients("ecr").describe_images(repositoryName=repository, imageIds=[wanted])
    except aws_clients.FAILURES as error:
        if aws_clients.code(error) in _NO_IMAGE:
            remedy = "build launch/Dockerfile and push it (docs/sagemaker.md)"
            return Finding("AWS image", "wrong", f"there is no {launch.image}", remedy)
        return _unseen("AWS image", launch.image, error)
    return Finding("AWS image", "ok", f"{launch.image} is there")


def _deep_learning(launch: LaunchSettings, account: Account) -> Finding:
    version = launch.deep_learning_image or deep_learning.VERSION
    try:
        address = deep_learning.image(version, launch.aws.instance_type, account.region)
    except Unavailable as error:
        remedy = "name another version, or an image of your own: launch: {image: …}"
        return Finding("AWS image", "wrong", str(error), remedy)
    return Finding("AWS image", "ok", f"{address}, AWS's Deep Learning Container")


@dataclass(frozen=True)
class Quota:
    """How many instances, and AWS's code for the quota."""

    number: int
    code: str


def _quotas(launch: LaunchSettings, types: Mapping[str, int], account: Account) -> Iterator[Finding]:
    """A quota is of instances: each job takes as many as there are hosts."""
    named, why = _listed(account.clients)
    usages = ["spot training job usage" if launch.aws.spot else "training job usage"]
    usages += ["training warm pool usage"] * bool(launch.aws.keep_alive)
    for kind, runs in types.items():
        wanted = launch.hosts * min(launch.aws.concurrency, runs)
        for usage in usages:
            quota = named.get(f"{kind} for {usage}")
            yield _quota(f"{kind} for {usage}", quota, why, launch.hosts, wanted, account.region)


def _listed(clients: Clients) -> tuple[Mapping[str, Quota], str]:
    """All quotas of SageMaker by name, and why one is not among them."""
    pages = clients("service-quotas").get_paginator("list_service_quotas")
    found: dict[str, Quota] = {}
    try:
        for page in pages.paginate(ServiceCode="sagemaker", PaginationConfig={"PageSize": 100}):
            found |= {each["QuotaName"]: Quota(int(each["Value"]), each["QuotaCode"]) for each in page["Quotas"]}
    except aws_clients.FAILURES as error:
        return found, HIDDEN if aws_clients.trouble(error) == "denied" else aws_clients.said(error)
    return found, "AWS does not list it"


def _quota(what: str, quota: Quota | None, why: str, least: int, wanted: int, region: str) -> Finding:
    name = f"AWS quota of {what}"
    if quota is None:
        return Finding(name, "ok", f"unknown: {why}")
    ask = (
        f"`aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code {quota.code} "
        f"--desired-value {wanted} --region {region}` asks for more"
    )
    if quota.number < least:
        return Finding(name, "wrong", f"{quota.number}, and a job needs {least}", f"{ask}; or take another type")
    if quota.number < wanted:
        found = f"{quota.number}, fewer than the {wanted} of aws.concurrency: runs wait for one another"
        return Finding(name, "missing", found, ask)
    return Finding(name, "ok", str(quota.number))


def _price(kind: str, prices: Prices, *, required: bool) -> Finding:
    price = prices.price(kind)
    if price is None:
        found = "not known, and aws: budget_usd needs it" if required else "not known: nor will be what runs cost"
        remedy = f"write aws: {{prices: {{{kind}: DOLLARS}}}}"
        return Finding(f"AWS price of {kind}", "wrong" if required else "missing", found, remedy)
    source = "aws.prices" if kind in prices.overrides else f"price of {prices.as_of}, {prices.region}"
    return Finding(f"AWS price of {kind}", "ok", f"${price:g} an hour ({source})")


def _unseen(name: str, what: str, error: Exception) -> Finding:
    """What nobody here knows: not allowed to look, or no answer."""
    if aws_clients.trouble(error) == "denied":
        return Finding(name, "ok", f"{what}: {HIDDEN}")
    return Finding(name, "missing", f"{what}: {aws_clients.said(error)}", "ask again later")
