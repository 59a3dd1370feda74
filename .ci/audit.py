"""Audits what the project depends on: `make audit`, or `python .ci/audit.py [--json] [--offline]`.

* every dependency has bounds in setup.cfg, and one exact version within them in constraints.txt;
* constraints.txt has everything that those need, as far as it is installed here, and what is installed is that;
* the licence of each, as its metadata say;
* which pinned versions their authors have withdrawn ("yanked"), asked of the package index that pip uses;
* known vulnerabilities, asked by pip-audit, which is put into an environment of its own and is no dependency of ours.

What could not be asked is told as "not asked", and is no pass.  Exit codes: 0 everything asked, nothing found; 1 a
finding; 3 nothing found, and something not asked.
"""

from __future__ import annotations

import argparse
import configparser
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYPI = "https://pypi.org/simple"
JSON = "application/vnd.pypi.simple.v1+json"
PIP_AUDIT = "pip-audit>=2.7,<3"
NOT_ASKED = "not asked"
VERDICTS = {0: "nothing found", 1: "see FOUND", 3: "nothing found, but not everything could be asked: no pass"}
Pins = Mapping[str, str]


@dataclass
class Report:
    """What was found; ``answers`` says of each question to somebody else what came of it."""

    packages: list[dict[str, str]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        if self.findings:
            return 1
        return 3 if any(each.startswith(NOT_ASKED) for each in self.answers.values()) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--offline", action="store_true", help="ask nobody; then the exit code is never 0")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the project")
    arguments = parser.parse_args()
    report = audit(arguments.root, offline=arguments.offline)
    print(json.dumps(asdict(report), indent=1) if arguments.json else "\n".join(lines(report)))
    return report.code


def audit(root: Path, *, offline: bool) -> Report:
    pins, direct = read_pins(root / "constraints.txt"), list(read_requirements(root / "setup.cfg"))
    report = Report([_package(name, version) for name, version in sorted(pins.items())])
    report.findings += [*unbounded(direct, pins), *unpinned(direct, pins), *others_installed(pins)]
    if offline:
        report.answers = dict.fromkeys(("withdrawn", "vulnerabilities"), f"{NOT_ASKED}: --offline")
        return report
    for question, ask in (("withdrawn", withdrawn), ("vulnerabilities", vulnerable)):
        try:
            found = ask(pins, root)
            report.findings += found
            report.answers[question] = f"asked about {len(pins)} packages: {len(found)} found"
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            report.answers[question] = f"{NOT_ASKED}: {error}"
    return report


def lines(report: Report) -> Iterator[str]:
    for each in report.packages:
        yield f"{each['name']:<36} {each['version']:<16} {each['licence']}"
    for question, answer in report.answers.items():
        yield f"{question}: {answer}"
    yield from (f"FOUND: {each}" for each in report.findings)
    yield VERDICTS[report.code]


def read_pins(path: Path) -> dict[str, str]:
    """Raises:
    ValueError: a line is not an exact version, or a package is there twice.
    """
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, exact, version = line.partition("==")
        if not exact or normal(name) in found or not re.fullmatch(r"[\w.!+-]+", version):
            raise ValueError(f"{path.name}: {line!r} is not one exact version, name==version")
        found[normal(name)] = version
    return found


def read_requirements(path: Path) -> Iterator[Requirement]:
    options = configparser.ConfigParser()
    options.read(path, encoding="utf-8")
    texts = [options["options"]["install_requires"], *options["options.extras_require"].values()]
    yield from (Requirement(line) for text in texts for line in text.splitlines() if line)


def unbounded(direct: Iterable[Requirement], pins: Pins) -> Iterator[str]:
    for each in direct:
        pin = pins.get(normal(each.name))
        if {one.operator for one in each.specifier} != {">=", "<"}:
            yield f"setup.cfg: {each} has no lower and upper bound"
        if pin is not None and not each.specifier.contains(pin):
            yield f"constraints.txt: {each.name}=={pin} is not within {each.specifier}"


def unpinned(direct: Iterable[Requirement], pins: Pins) -> Iterator[str]:
    """What ours need, and what those need, that has no exact version."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(each, "setup.cfg") for each in direct]
    told: set[str] = set()
    while todo:
        requirement, why = todo.pop()
        name, extras = normal(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in pins and name not in told:
            told.add(name)
            yield f"constraints.txt: {name}, which {why} needs, has no exact version"
        todo += [(each, name) for each in _needs(name, extras)]


def others_installed(pins: Pins) -> Iterator[str]:
    for each in importlib.metadata.distributions():
        name = normal(each.metadata["Name"])
        if name in pins and each.version.partition("+")[0] != pins[name].partition("+")[0]:
            yield f"installed: {name} {each.version}, pinned is {pins[name]}"


def withdrawn(pins: Pins, root: Path) -> list[str]:
    """Of the pinned versions those whose every file the index marks as yanked."""
    index = os.environ.get("PIP_INDEX_URL") or _pip("config", "get", "global.index-url", root=root) or PYPI
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda each: _yanked(index, *each), sorted(pins.items()))
        return [each for each in answers if each]


def vulnerable(pins: Pins, root: Path) -> list[str]:
    """Asks pip-audit; it needs the network, and says which database it could not reach."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True, text=True)
        _pip("install", PIP_AUDIT, root=root, python=Path(place, "bin", "python"), must=True)
        listed = Path(place, "pins.txt")
        listed.write_text("".join(f"{name}=={version.partition('+')[0]}\n" for name, version in pins.items()))
        command = [f"{place}/bin/pip-audit", "--requirement", str(listed), "--no-deps", "--disable-pip"]
        done = subprocess.run([*command, "--format=json"], capture_output=True, text=True, timeout=900, check=False)
    try:
        document = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise ValueError(f"pip-audit: {(done.stderr.strip().splitlines() or ['no answer'])[-1][:300]}") from None
    skipped = [each["name"] for each in document if "skip_reason" in each]
    if skipped:
        raise ValueError(f"pip-audit could not look up {', '.join(skipped[:5])}{' ...' * (len(skipped) > 5)}")
    return [
        f"{each['name']} {each['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'no version yet'}"
        for each in document
        for one in each["vulns"]
    ]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _package(name: str, version: str) -> dict[str, str]:
    return {"name": name, "version": version, "licence": _licence(name)}


def _licence(name: str) -> str:
    try:
        found = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown: not installed here"
    classifiers = [each.rpartition(" :: ")[2] for each in found.get_all("Classifier") or () if each[:7] == "License"]
    said = found.get("License-Expression") or ", ".join(classifiers) or (found.get("License") or "").strip()
    return said.splitlines()[0][:80] if said else "unknown: its metadata name none"


def _needs(name: str, extras: Iterable[str]) -> Iterator[Requirement]:
    """Of an installed package, on this machine."""
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for each in map(Requirement, texts):
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield each


def _yanked(index: str, name: str, version: str) -> str:
    request = urllib.request.Request(f"{index.rstrip('/')}/{name}/", headers={"Accept": JSON})
    with urllib.request.urlopen(request, timeout=30) as answer:
        if JSON not in answer.headers.get("Content-Type", ""):
            raise ValueError(f"{name}: the index does not answer in JSON (PEP 691)")
        files = json.load(answer)["files"]
    start = re.compile(rf"[\w.]+-{re.escape(version.partition('+')[0])}(-|\.tar|\.zip)", re.IGNORECASE)
    own = [each for each in files if start.match(each["filename"].replace(name, normal(name).replace("-", "_")))]
    if own and all(each.get("yanked") for each in own):
        reason = next((each["yanked"] for each in own if isinstance(each["yanked"], str)), "no reason given")
        return f"{name} {version} was withdrawn: {reason}"
    return ""


def _pip(*arguments: str, root: Path, python: Path = Path(sys.executable), must: bool = False) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600, check=False)
    if must and done.returncode:
        raise ValueError(f"pip {arguments[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1][:300]}")
    return "" if done.returncode else done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
