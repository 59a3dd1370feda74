"""Service Quotas, as far as instances for training are concerned: the limits that the faults set, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from launch.rehearsal.answers import AwsError

SERVICE = "servicequotas"
USAGES = ("training job usage", "spot training job usage")
"""What a limit of :class:`launch.rehearsal.faults.Faults` is for."""


def answer(operation: str, request: Mapping[str, Any], limits: Mapping[str, int]) -> dict[str, Any] | None:
    """The answer to ``ListServiceQuotas``, a page of it; ``None`` for other calls.

    Raises:
        AwsError: there is no such service.
    """
    if operation != "ListServiceQuotas":
        return None
    if request.get("ServiceCode") != "sagemaker":
        raise AwsError("NoSuchResourceException", "The request failed because the specified service does not exist.")
    found = [_quota(f"{kind} for {usage}", number) for kind, number in limits.items() for usage in USAGES]
    start, size = int(request.get("NextToken") or 0), int(request.get("MaxResults") or 100)
    end = start + size
    return {"Quotas": found[start:end], **({"NextToken": str(end)} if end < len(found) else {})}


def _quota(name: str, number: int) -> dict[str, Any]:
    code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
    return {
        "ServiceCode": "sagemaker",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": float(number),
        "Adjustable": True,
    }
