"""Energy by meters whose counters are files of this test: RAPL as Linux shows it, read by CodeCarbon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from benchmark.training import energy
from benchmark.training.profiling import ResourceMeter, together

CPU = torch.device("cpu")
JOULES_A_KWH = 3.6e6
MOST = 262_143_328_850
"""Microjoules at which a counter begins again."""


class Machine:
    """Meters in a directory that is laid out as ``/sys/class/powercap/intel-rapl/subsystem``."""

    def __init__(self, place: Path, packages: int = 1) -> None:
        self._meters = [place / f"intel-rapl:{number}" for number in range(packages)]
        for number, each in enumerate(self._meters):
            each.mkdir(parents=True)
            (each / "name").write_text(f"package-{number}\n")
            (each / "max_energy_range_uj").write_text(f"{MOST}\n")
            self.set(5e6 + number * 7e9, number)

    def set(self, joules: float, number: int = 0) -> None:
        (self._meters[number] / "energy_uj").write_text(f"{round(joules * 1e6) % MOST}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    monkeypatch.setattr(energy, "STAT", tmp_path / "stat")
    (tmp_path / "stat").write_text("cpu  100 0 0 900 0 0 0 0 50 0\ncpu0 1 1 1 1\n")
    return Machine(tmp_path / "powercap")


def busy(tmp_path: Path, seconds: float) -> None:
    """The machine's processors have worked so long since the test began."""
    (tmp_path / "stat").write_text(f"cpu  {100 + round(seconds * energy._TICKS)} 0 0 5000 70 0 0 0 50 0\n")


def found() -> energy.EnergyMeter:
    meter = energy.find(CPU)
    assert meter is not None
    return meter


def test_a_run_has_its_share_of_what_the_processors_took(machine: Machine, tmp_path: Path) -> None:
    meter = found()
    machine.set(5e6 + 3600)
    busy(tmp_path, 10)
    assert meter.kwh(10.0) == pytest.approx(0.001)
    assert meter.kwh(2.5) == pytest.approx(0.00025), "three others trained beside it"
    assert meter.kwh(20.0) == pytest.approx(0.001), "ticks are coarse: no more than all"
    machine.set(5e6 + 7200)
    assert meter.kwh(10.0) == pytest.approx(0.002)
    meter.close()


def test_a_counter_that_begins_again_and_two_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    machine = Machine(tmp_path / "powercap", packages=2)
    machine.set(MOST / 1e6 - 1000)
    meter = found()
    machine.set(MOST / 1e6 + 2600)
    machine.set(5e6 + 7e9 + 3600, 1)
    meter._busy = energy._busy_seconds()
    assert meter.kwh(1e9) == pytest.approx(0.002)
    meter.close()


def test_without_meters_or_the_right_to_read_them_there_is_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    assert energy.find(CPU) is None
    Machine(tmp_path / "powercap")
    reading = Path.read_text

    def refused(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError
        return reading(path)

    monkeypatch.setattr(Path, "read_text", refused)  # root may read everything
    assert energy.find(CPU) is None


def test_half_a_sum_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "powercap")
    Machine(tmp_path / "powercap", packages=2)
    meter = found()
    second = tmp_path / "powercap" / "intel-rapl:1" / "energy_uj"
    second.unlink()
    assert meter.kwh(1.0) is None, "a meter that cannot be read any more"
    assert energy.find(CPU) is None, "one of two"
    meter.close()


def test_codecarbon_says_nothing(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    found().close()
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_there_is_no_value(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert energy.find(CPU) is None


def test_what_attempts_took_is_added_where_it_is_known_of_all(machine: Machine, tmp_path: Path) -> None:
    with ResourceMeter() as first:
        machine.set(5e6 + 3600)
        spent = first.spent()
    assert spent["cost/kwh"] == pytest.approx(0.001)
    assert first.values["cost/kwh"] == pytest.approx(0.001)
    again = ResourceMeter()
    again.carry(spent)
    with again:
        machine.set(5e6 + 7200)
    assert again.values["cost/kwh"] == pytest.approx(0.002)
    elsewhere = ResourceMeter()
    elsewhere.carry({"cost/seconds": 1.0, "cost/cpu_seconds": 1.0})
    with elsewhere:
        pass
    assert "cost/kwh" not in elsewhere.values
    assert elsewhere.values["cost/seconds"] > 1.0  # type: ignore[operator]


def test_a_team_took_what_its_processes_took(machine: Machine) -> None:
    with ResourceMeter() as meter:
        machine.set(5e6 + 3600)
    values = meter.values
    assert together([values, values])["cost/kwh"] == pytest.approx(0.002)
    without = {name: value for name, value in values.items() if name != "cost/kwh"}
    assert "cost/kwh" not in together([values, without])


def test_counters_are_read_in_between(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one which begins again twice is not missed."""
    monkeypatch.setattr(energy, "READ_SECONDS", 0.05)
    meter, place = found(), MOST / 1e6
    for _ in range(3):
        for joules in (5e6 + place / 2, 5e6 + place):
            machine.set(joules)
            time.sleep(0.3)
    assert meter.kwh(1e9) == pytest.approx(3 * place / JOULES_A_KWH, rel=1e-6)
    meter.close()
