"""The rehearsal's own interface on the server's port: ``/rehearsal/state``, ``calls``, ``counts``
and ``faults``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from launch.rehearsal import answers
from launch.rehearsal.calls import Calls
from launch.rehearsal.chance import Chance
from launch.rehearsal.faults import Faults
from launch.rehearsal.operations import Operations


class Control:
    """GET tells; PUT of ``/rehearsal/faults`` sets other faults."""

    def __init__(self, operations: Operations, calls: Calls, chance: Chance) -> None:
        self._operations, self._calls, self._chance = operations, calls, chance

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        answer = self._ways(environ).get(asked)
        if answer is None:
            return answers.as_json(start, {"message": f"{asked}: there are {', '.join(self._ways(environ))}"}, 404)
        try:
            return answers.as_json(start, answer())
        except ValueError as error:
            return answers.as_json(start, {"message": str(error)}, 400)

    def _ways(self, environ: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
        return {
            "GET /rehearsal/state": lambda: {"jobs": [each.state() for each in self._operations.all()]},
            "GET /rehearsal/calls": lambda: {"calls": self._calls.as_json()},
            "GET /rehearsal/counts": lambda: {"counts": self._calls.counts()},
            "GET /rehearsal/faults": lambda: json.loads(self._chance.faults.to_json()),
            "PUT /rehearsal/faults": lambda: self._set(environ),
        }

    def _set(self, environ: dict[str, Any]) -> dict[str, Any]:
        text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        self._chance.set(Faults.from_json(text))
        return {}
