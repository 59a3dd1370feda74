"""What was called: each request to the server as a service, an operation and the resources that it names.

The list shows which permissions a program needs: its own, and those that SageMaker uses for it through the role.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import parse_qs, unquote

from launch.rehearsal.keys import OURSELVES

ACCOUNT = "123456789012"
_SUBRESOURCES = {
    "acl": "Acl", "cors": "BucketCors", "encryption": "BucketEncryption", "lifecycle": "BucketLifecycleConfiguration",
    "location": "BucketLocation", "policy": "BucketPolicy", "tagging": "Tagging", "versioning": "BucketVersioning",
    "versions": "ObjectVersions", "uploads": "MultipartUploads", "publicAccessBlock": "PublicAccessBlock",
    "ownershipControls": "BucketOwnershipControls",
}  # fmt: skip
_PARTS = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        service: as in its ARNs: ``sagemaker``, ``s3``, ``logs``, ``iam``, ``sts`` ...
        resources: ARNs, as far as the request names them.
        by: ``caller``, or ``service`` for what SageMaker does with the role of a job.
        prefix: what a listing of S3 is limited to.
        error: the code of a fault that hit it; ``LostReply`` where only the answer was lost.
    """

    service: str
    operation: str
    resources: tuple[str, ...]
    region: str
    protocol: str
    method: str
    by: str
    at: float
    prefix: str = ""
    error: str = ""


def job_arn(region: str, name: str) -> str:
    """The ARN of a training job."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:training-job/{name}"


class Calls:
    """Every call so far; where they are too many to be kept (``keep``), how many of each kind."""

    def __init__(self, *, keep: bool = True) -> None:
        self._lock, self._keep = threading.Lock(), keep
        self._calls: list[Call] = []
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, call: Call, error: str = "") -> None:
        with self._lock:
            self._counts[call.by, call.service, call.operation, error] += 1
            if self._keep:
                self._calls.append(replace(call, error=error))

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
            self._counts.clear()

    def counts(self) -> list[dict[str, Any]]:
        """How many there were of each kind: by whom, service, operation, and the error of a fault."""
        names = ("by", "service", "operation", "error")
        with self._lock:
            return [{**dict(zip(names, kind, strict=True)), "count": count} for kind, count in self._counts.items()]

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(each) for each in self._calls]


def parse(environ: Mapping[str, Any], body: bytes) -> Call:
    """The call that a request makes; ``body`` is needed where the operation or its resources are in it."""
    key, region, service = _scope(environ.get("HTTP_AUTHORIZATION", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    by = "service" if key.startswith(OURSELVES) else "caller"
    method, prefix = environ["REQUEST_METHOD"], ""
    if target:
        protocol, operation = "json", target.rpartition(".")[2]
        resources = _named(service, region, _json(body))
    elif b"Action=" in body and "form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        protocol, operation = "query", form["Action"]
        resources = [f"arn:aws:iam::{ACCOUNT}:role/{form['RoleName']}"] if "RoleName" in form else []
    elif service == "s3":
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        bucket, _, name = unquote(environ["PATH_INFO"]).lstrip("/").partition("/")
        protocol, operation = "s3", _s3(environ, bucket, name, query)
        resources = [f"arn:aws:s3:::{bucket}/{name}" if name else f"arn:aws:s3:::{bucket}"] if bucket else []
        prefix = query.get("prefix", [""])[0]
    else:
        protocol, operation, resources = "rest", f"{method} {environ['PATH_INFO']}", []
    return Call(service, operation, tuple(resources), region, protocol, method, by, time.time(), prefix)


def _scope(authorization: str) -> tuple[str, str, str]:
    """Access key, region and service of a signature; an unsigned request is taken for one to S3, as moto does."""
    try:
        key, _, region, service, _ = authorization.split("Credential=")[1].split(",")[0].split("/")
    except (IndexError, ValueError):
        return "", "us-east-1", "s3"
    return key, region, service


def _s3(environ: Mapping[str, Any], bucket: str, name: str, query: Mapping[str, Any]) -> str:
    method = environ["REQUEST_METHOD"]
    if not bucket:
        return "ListBuckets"
    if not name:
        return _of_bucket(method, query)
    if "uploadId" in query:
        return _PARTS.get(method, "ListParts")
    if "uploads" in query:
        return "CreateMultipartUpload"
    if "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return "CopyObject"
    if found := [value for key, value in _SUBRESOURCES.items() if key in query]:
        return f"{_VERBS[method]}Object{found[0]}"
    return f"{_VERBS[method]}Object"


def _of_bucket(method: str, query: Mapping[str, Any]) -> str:
    if "delete" in query:
        return "DeleteObjects"
    if found := [value for key, value in _SUBRESOURCES.items() if key in query]:
        return f"{'List' if found[0].endswith(('Versions', 'Uploads')) else _VERBS[method]}{found[0]}"
    if method == "GET":
        return "ListObjectsV2" if "list-type" in query else "ListObjects"
    return {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}.get(method, method)


def _named(service: str, region: str, found: Mapping[str, Any]) -> list[str]:
    if service == "logs" and "logGroupName" in found:
        return [f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{found['logGroupName']}"]
    if service == "ecr" and "repositoryName" in found:
        return [f"arn:aws:ecr:{region}:{ACCOUNT}:repository/{found['repositoryName']}"]
    if service != "sagemaker":
        return []
    resources = [str(found[key]) for key in ("ResourceArn", "RoleArn") if key in found]
    if "TrainingJobName" in found:
        return [job_arn(region, found["TrainingJobName"]), *resources]
    return resources


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
