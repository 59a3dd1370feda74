"""An address in S3, and which keys can be the paths of files.  Standard library only.

Both come from elsewhere, an experiment's YAML and a bucket that anybody may have filled: what would lead out of a
directory, or write to a terminal, is refused here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "s3://"
EXAMPLE = "s3://my-bucket/photos"
LONGEST_PART, LONGEST_KEY = 255, 1024
"""Bytes: of a file's name on the usual file systems, and of a key in S3."""
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DOTS = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


@dataclass(frozen=True)
class Address:
    """A bucket, and the prefix of the keys in it, without slashes at its ends; it may be empty."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """``s3://bucket`` or ``s3://bucket/some/prefix``, with or without a slash at its end.

        Raises:
            ValueError: it is none; the message does not repeat it, for there may be a secret in it.
        """
        bucket, _, prefix = text.removeprefix(SCHEME).rstrip("/").partition("/")
        if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
            raise ValueError(
                f"must be the address of a folder in S3 such as {EXAMPLE}; a bucket's name has 3 to 63 lower-case "
                "letters, digits, - and ."
            )
        if prefix and (reason := unsafe(prefix)):
            raise ValueError(
                f"must be the address of a folder in S3 such as {EXAMPLE}; what follows the bucket {reason}"
            )
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


def unsafe(key: str) -> str | None:
    """Why a key cannot be a path below a directory, in words; ``None`` where it can."""
    if _CONTROL.search(key):
        return "has a control character"
    if _DOTS.search(key):
        return "has an empty part, or a part . or .."
    try:
        parts = [len(part.encode()) for part in key.split("/")]
    except UnicodeEncodeError:
        return "is not Unicode"
    if max(parts) > LONGEST_PART or sum(parts) + len(parts) > LONGEST_KEY:
        return f"is too long for a path (a part has at most {LONGEST_PART} bytes)"
    return None
