"""Speed, cost and provenance.  Durations are only bounded, never compared: the machine may be busy."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.machine import usable_cores
from benchmark.training.environment import cpu_name, environment
from benchmark.training.profiling import ResourceMeter, peak_memory, profile

SPEEDS = {
    "speed/batch_size", "speed/latency_ms_p50", "speed/latency_ms_p95", "speed/images_per_second",
    "speed/train_images_per_second",
}  # fmt: skip


class Small(nn.Module):
    """Batch normalisation, dropout and an auxiliary head; notes what it was called with."""

    def __init__(self, pause=0.0):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.LazyLinear(5))
        self.body(torch.zeros(2, 3, 8, 8))
        self.auxiliary = nn.Linear(5, 5)
        self.pause = pause
        self.seen = set()
        self.calls = 0

    def forward(self, images):
        time.sleep(self.pause)
        self.calls += 1
        self.seen.add((self.training, len(images), tuple(images.shape[1:])))
        logits = self.body(images)
        return (logits, self.auxiliary(logits)) if self.training else logits


class Shared(Small):
    """Is its own copy, so that a test sees what the copy was asked for."""

    def __deepcopy__(self, memo):
        return self


def measure(model, batch_size=4, seconds=0.4):
    return profile(model, image_size=8, channels=3, batch_size=batch_size, device="cpu", seconds=seconds)


def test_a_profile_has_every_speed_as_a_positive_number():
    speeds = measure(Small())
    assert set(speeds) == SPEEDS
    assert all(isinstance(value, float) and value > 0 for value in speeds.values())
    assert speeds["speed/batch_size"] == 4
    assert speeds["speed/latency_ms_p50"] <= speeds["speed/latency_ms_p95"]


def test_a_profile_leaves_the_model_and_the_random_state_as_they_were():
    model = Small().train()
    model.body[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    measure(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (model.training, model.body[1].training) == (True, False)
    assert torch.equal(torch.get_rng_state(), state)


def test_latency_is_of_one_image_and_speeds_of_the_stated_batch():
    model = Shared()
    measure(model)
    assert model.seen == {(False, 1, (3, 8, 8)), (False, 4, (3, 8, 8)), (True, 4, (3, 8, 8))}


def test_the_numbers_are_the_models_own_pace():
    speeds = measure(Small(pause=0.02), batch_size=10)
    assert speeds["speed/latency_ms_p50"] > 20
    assert speeds["speed/images_per_second"] < 10 / 0.02
    assert speeds["speed/train_images_per_second"] < 10 / 0.02


def test_a_slow_model_is_measured_in_a_few_steps_of_each_kind():
    model = Shared(pause=0.2)
    measure(model)
    assert 9 <= model.calls <= 12


def test_a_fast_model_is_measured_in_many_steps():
    model = Shared()
    measure(model, seconds=4)
    assert model.calls > 100


def test_training_speed_at_batch_1_is_undefined():
    speeds = measure(Small(), batch_size=1)
    assert speeds["speed/train_images_per_second"] is None
    assert speeds["speed/images_per_second"] > 0


def test_the_meter_counts_processor_time_not_sleep():
    with ResourceMeter() as meter:
        time.sleep(0.5)
        start = time.process_time()
        while time.process_time() - start < 0.2:
            pass
    assert 0.2 <= meter.values["cost/cpu_seconds"] < 0.5
    assert set(meter.values) == {"cost/seconds", "cost/cpu_seconds", "cost/peak_memory_bytes", "cost/load"}
    assert meter.values["cost/seconds"] >= 0.7
    assert meter.values["cost/load"] >= 0


def test_the_meter_counts_on_from_what_is_carried():
    with ResourceMeter() as meter:
        meter.carry({"cost/seconds": 100.0, "cost/cpu_seconds": 50.0})
        now = meter.spent()
    assert 100 <= now["cost/seconds"] <= meter.values["cost/seconds"] < 101
    assert 50 <= now["cost/cpu_seconds"] <= meter.values["cost/cpu_seconds"] < 51


def test_the_meter_counts_ended_children():
    program = "import time\nwhile time.process_time() < 0.4: pass"
    with ResourceMeter() as meter:
        subprocess.run([sys.executable, "-c", program], check=True)
    assert meter.values["cost/cpu_seconds"] >= 0.35


def test_the_meter_tells_its_values_even_when_the_block_fails():
    meter = ResourceMeter()
    with pytest.raises(KeyError), meter:
        raise KeyError("training failed")
    assert meter.values["cost/peak_memory_bytes"] > 0


def test_peak_memory_stays_after_the_memory_is_given_back():
    program = (
        "import numpy as np; from benchmark.training.profiling import peak_memory as peak;"
        "before = peak(); block = np.ones(400_000_000, dtype=np.uint8); del block; print(peak() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert 300_000_000 < grown < 500_000_000


def test_a_small_program_does_not_inherit_its_parents_peak():
    block = np.ones(400_000_000, dtype=np.uint8)
    program = "from benchmark.training.profiling import peak_memory; print(peak_memory())"
    child = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert child < peak_memory()
    assert block.any()


def test_the_environment_is_json_and_names_what_results_depend_on():
    facts = environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["device"] == "cpu"
    assert facts.keys() >= {"torchvision", "timm", "numpy", "platform", "cpu", "cpu_capability", "cpus"}


def test_the_environment_imports_no_library_for_its_version():
    program = (
        "import sys; from benchmark.training.environment import environment; environment();"
        "sys.exit(bool({'timm', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_processor_is_named_as_linux_names_it(tmp_path):
    path = tmp_path / "cpu info #1"
    path.write_text("processor : 0\nmodel name\t: Ünïque CPU @ 3 GHz\nprocessor : 1\nmodel name\t: Other\n")
    assert cpu_name(path) == "Ünïque CPU @ 3 GHz"
    assert cpu_name(tmp_path / "missing") != ""
    assert usable_cores() >= 1
