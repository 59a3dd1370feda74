"""The server: moto's application behind ours, on one port of this machine."""

from __future__ import annotations

import functools
import json
import logging
import time
from typing import Any

import moto.backends  # noqa: TID251 - the one file that may
from moto.moto_server.werkzeug_app import (  # noqa: TID251 - the one file that may
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from launch.rehearsal.answers import AwsError
from launch.rehearsal.application import Application
from launch.rehearsal.attempt import Services
from launch.rehearsal.beat import Beat
from launch.rehearsal.calls import Calls
from launch.rehearsal.chance import Chance
from launch.rehearsal.clock import Clock
from launch.rehearsal.control import Control
from launch.rehearsal.executors import Settings, load
from launch.rehearsal.faults import Faults
from launch.rehearsal.inputs import check
from launch.rehearsal.instances import Instances
from launch.rehearsal.keys import Keys
from launch.rehearsal.life import Lives
from launch.rehearsal.operations import Operations
from launch.rehearsal.storage import Clients, Storage
from launch.rehearsal.validation import INVALID

ADDRESS = "127.0.0.1"
BUCKET = "rehearsal-data"
ROLE = "rehearsal"
TRUST_SECONDS = 5.0
"""So long a role is believed to be what it was."""
_NOT_ASSUMABLE = (
    "Could not assume role {}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to "
    "assume the role."
)
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


moto.backends.list_of_moto_modules = functools.cache(lambda find=moto.backends.list_of_moto_modules: tuple(find()))
"""Which moto looks up in its directory for every request."""


class Server:
    """Listens from the start; :meth:`serve` answers until :meth:`close`.

    Raises:
        OSError: this machine cannot run jobs in the way that the settings name, with a remedy; or the port is taken.
    """

    def __init__(self, settings: Settings, faults: Faults, port: int = 0) -> None:
        beat = Beat(settings.beat, 0, settings.speed) if settings.beat else None
        clock, chance = Clock(settings.speed, beat), Chance(faults)
        if beat:
            beat.join()
        self._calls = calls = Calls(keep=not settings.count_calls)
        executor = load(settings, clock)
        executor.check()
        self._http = make_server(ADDRESS, port, self._answer, threaded=True, request_handler=_Handler)
        self.url = f"http://{ADDRESS}:{self._http.server_port}"
        self._keys = Keys()
        self._clients = Clients(self.url, self._keys.service, self._answer)
        self._trusted: dict[str, float] = {}
        self._settings, self._storage = settings, Storage(self._clients)
        services = Services(settings, clock, chance, self._clients, self._storage, executor)
        instances = Instances(chance, clock)
        self._lives = Lives(services, instances)
        self._operations = Operations(
            settings.directory / "jobs", chance, clock, instances, self._lives.start, self._allow
        )
        control = Control(self._operations, calls, chance)
        moto = DomainDispatcherApplication(create_backend_app)
        self._application = Application(moto, self._operations, control, calls, chance, self._keys)

    def serve(self) -> None:
        """Answers requests until the process ends."""
        self._http.serve_forever()

    def prepare(self) -> dict[str, str]:
        """Makes a bucket and a role, while :meth:`serve` runs in another thread: how they are called, and the
        access key that callers need."""
        self._clients.get("s3").create_bucket(Bucket=BUCKET)
        role = self._clients.get("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(_TRUST))
        self._calls.clear()
        return {"url": self.url, "bucket": BUCKET, "role": role["Role"]["Arn"], "access_key": self._keys.caller}

    def close(self) -> None:
        """Kills the jobs, and listens no more."""
        self._lives.close(self._operations.all())
        self._http.server_close()

    def _answer(self, environ: dict[str, Any], start: Any) -> Any:
        return self._application(environ, start)

    def _allow(self, request: dict[str, Any], region: str) -> None:
        if not self._assumable(request["RoleArn"]):
            raise AwsError(INVALID, _NOT_ASSUMABLE.format(request["RoleArn"]))
        if self._settings.check_inputs:
            check(request, region, self._storage)

    def _assumable(self, role: str) -> bool:
        """Looked for again after some seconds: many jobs may be created in one."""
        if self._trusted.get(role, 0.0) > time.monotonic():
            return True
        if not self._is_trusted(role):
            return False
        self._trusted[role] = time.monotonic() + TRUST_SECONDS
        return True

    def _is_trusted(self, role: str) -> bool:
        try:
            found = self._clients.get("iam").get_role(RoleName=role.rpartition("/")[2])["Role"]
        except self._clients.get("iam").exceptions.NoSuchEntityException:
            return False
        return "sagemaker.amazonaws.com" in json.dumps(found["AssumeRolePolicyDocument"])


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto is not looked into
    """Says nothing of requests that went well."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if str(code).startswith("5"):
            logging.getLogger(__name__).warning("%s: %s", self.requestline, code)
