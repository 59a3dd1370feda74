"""The clients of AWS: the only file that imports boto3 and botocore, but for the rehearsal's server.

botocore tries again by itself what is worth it (throttles, broken connections, errors of the service).  What comes
through is sorted into :data:`Trouble`.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

import boto3  # noqa: TID251 - the one file that may
import botocore.exceptions as errors
from botocore.config import Config

from launch import Unavailable

Trouble = Literal["expired", "busy", "away", "quota", "exists", "missing", "denied", "refused"]
"""``expired``: credentials, which may be renewed; ``busy`` and ``away``: try again later; ``quota``: wait for other
jobs; ``exists``: a job of this name; ``missing``: what was asked for; ``denied``, ``refused``: never without a change.
"""

CONFIG = Config(
    retries={"mode": "adaptive", "total_max_attempts": 6},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
    user_agent_extra="torch-image-benchmark",
)
_CODES: dict[str, Trouble] = {
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "RequestExpired": "expired",
    "UnauthorizedSSOTokenError": "expired",
    "InvalidClientTokenId": "expired",
    "InvalidAccessKeyId": "expired",
    "UnrecognizedClientException": "expired",
    "Throttling": "busy",
    "ThrottlingException": "busy",
    "TooManyRequestsException": "busy",
    "RequestLimitExceeded": "busy",
    "SlowDown": "busy",
    "ServiceUnavailable": "busy",
    "InternalError": "busy",
    "InternalFailure": "busy",
    "InternalServerError": "busy",
    "RequestTimeout": "busy",
    "ResourceLimitExceeded": "quota",
    "ResourceInUse": "exists",
    "ResourceNotFound": "missing",
    "ResourceNotFoundException": "missing",
    "NoSuchEntity": "missing",
    "NoSuchKey": "missing",
    "NoSuchBucket": "missing",
    "404": "missing",
    "AccessDenied": "denied",
    "AccessDeniedException": "denied",
    "403": "denied",
}
_EXPIRED = (
    errors.NoCredentialsError,
    errors.CredentialRetrievalError,
    errors.SSOTokenLoadError,
    errors.TokenRetrievalError,
    errors.UnauthorizedSSOTokenError,
)
_AWAY = (errors.ConnectionError, errors.HTTPClientError, errors.IncompleteReadError, errors.FlexibleChecksumError)
FAILURES = (errors.BotoCoreError, errors.ClientError)
"""Everything that a call may raise."""


def trouble(error: Exception) -> Trouble:
    """What kind of trouble a call's error is."""
    if isinstance(error, _EXPIRED):
        return "expired"
    if isinstance(error, _AWAY):
        return "away"
    if not isinstance(error, errors.ClientError):
        return "refused"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    if error.response.get("Error", {}).get("Message", "").startswith("Requested resource not found"):
        return "missing"
    return _CODES.get(code(error), "busy" if status >= 500 else "refused")


def code(error: Exception) -> str:
    """AWS's name of an error, or an empty text."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, errors.ClientError) else ""


def said(error: Exception) -> str:
    """AWS's own words, in one line."""
    text = error.response.get("Error", {}).get("Message", "") if isinstance(error, errors.ClientError) else ""
    return " ".join((text or str(error)).split())[:500]


@dataclass
class Clients:
    """Clients of one profile and region, made when they are first asked for, from any thread.

    Attributes:
        otherwise: the region where neither this nor the environment names one.
        purpose: what they are for, in errors.

    Raises:
        Unavailable: there is no such profile, no region, or no credentials at all.
    """

    profile: str | None = None
    region: str | None = None
    otherwise: str | None = None
    purpose: str = "mode aws"
    _made: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._session = self._begin()

    def __call__(self, service: str) -> Any:
        """The client of a service, such as ``s3``."""
        with self._lock:
            if service not in self._made:
                self._made[service] = self._session.client(service, config=CONFIG)
            return self._made[service]

    @property
    def region_name(self) -> str:
        return str(self._session.region_name)

    def renew(self) -> None:
        """Looks for credentials anew: somebody may have logged in meanwhile."""
        with self._lock:
            self._made.clear()
            self._session = self._begin()

    def identity(self) -> tuple[str, str]:
        """Whose account it is, twelve digits, and its partition (``aws``, ``aws-cn`` …); asks AWS."""
        said = self("sts").get_caller_identity()
        return str(said["Account"]), str(said["Arn"]).split(":")[1]

    def _begin(self) -> Any:
        try:
            region = self.region or os.environ.get("AWS_REGION")  # which boto3 does not look at
            session = boto3.Session(profile_name=self.profile, region_name=region)
            if not session.region_name and self.otherwise:
                session = boto3.Session(profile_name=self.profile, region_name=self.otherwise)
            credentials = session.get_credentials()
        except errors.ProfileNotFound as error:
            raise Unavailable(f"{self.purpose}: {error}; `aws configure --profile NAME` makes one") from error
        except FAILURES as error:
            raise Unavailable(f"{self.purpose}: {error}") from error
        if not session.region_name:
            raise Unavailable(f"{self.purpose}: no region: write aws: {{region: eu-west-1}}, or set AWS_REGION")
        if credentials is None:
            raise Unavailable(f"{self.purpose}: no credentials of an AWS account: {LOGIN}")
        return session


LOGIN = "`aws sso login`, `aws configure`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
