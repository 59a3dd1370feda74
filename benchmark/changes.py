"""Why a run is new although one like it was begun: which keys of the YAML, or which images, have changed since."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmark.run import DataSpec, Run, canonical_json

MOST = 3
"""With more keys changed it is another run rather than the same one changed."""
CANDIDATES = 100
"""So many runs at most, the latest, are compared with each new run."""

Document = Mapping[str, Any]
_Values = tuple[str, ...]
_BUILT_IN = Run(DataSpec(), "").to_json()
"""What a run of before a key was introduced has for it."""


def changes(new: Iterable[Run], left: Iterable[Document]) -> dict[str, str]:
    """Id of each run of ``new`` that is a changed one of ``left`` -> what has changed, in words.

    Args:
        left: documents (:meth:`Run.to_json`) of runs, with a result or interrupted, that the YAML no longer asks for,
            latest first.  One and the same model and seed are compared.
    """
    groups: dict[tuple[Any, Any], list[tuple[_Values, Document]]] = {}
    for document in ({**_BUILT_IN, **each} for each in left):
        group = groups.setdefault((document.get("model"), document.get("seed")), [])
        if len(group) < CANDIDATES:
            group.append((_values(document), document))
    found = {run.run_id: _change(run.to_json(), groups.get((run.model, run.seed), ())) for run in new} if groups else {}
    return {run_id: words for run_id, words in found.items() if words}


def _change(document: Document, candidates: Iterable[tuple[_Values, Document]]) -> str | None:
    values = _values(document)
    counted = ((sum(map(operator.ne, values, other)), each) for other, each in candidates)
    number, nearest = min(counted, key=operator.itemgetter(0), default=(0, {}))
    if not 0 < number <= MOST:
        return None
    words = (
        part for key in _keys(document) for part in _words(key, nearest.get(key), document[key], nearest, document)
    )
    return f"changed since {nearest['run_id'][:6]}: {', '.join(words)}"


def _keys(document: Document) -> Iterator[str]:
    """The keys that make an identity; of the data only the digest does."""
    return (key for key in document if key not in {"run_id", "data", "recipe"})


def _values(document: Document) -> _Values:
    return tuple(canonical_json(document[key]) for key in sorted(_keys(document)))


def _words(key: str, before: Any, now: Any, old: Document, new: Document) -> Iterator[str]:
    if before == now:
        return
    if key == "weights_digest":
        yield from ["the weights"] * (old["pretrained"] == new["pretrained"])
    elif key == "data_digest":
        told = list(_words("data", old["data"], new["data"], {}, {}))
        yield from told or ["the images"]
    elif isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            yield from _words(f"{key}.{name}", before.get(name), now.get(name), old, new)
    else:
        yield f"{key} {_text(before)} then, {_text(now)} now"


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else canonical_json(value)
