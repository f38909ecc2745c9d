"""A process takes threads, cores and priority as told, and says what it was refused; a board tells of heat."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch

from instance_depth_ros import config, process
from instance_depth_ros.health import health

ROOT = Path(__file__).resolve().parent.parent


def settings(**given):
    return SimpleNamespace(**{"realtime_priority": 0, "cpu_affinity": ""} | given)


def apart(code: str) -> list[str]:
    """What Python code prints in a process of its own: what it does to its threads stays there."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_threads_of_torch_opencv_and_blas_come_from_one_place():
    said = apart("""
import ctypes, cv2, numpy, torch
from instance_depth_ros.process import _loaded, use_threads
for count in (2, 1):
    assert use_threads(count) == count
    print(torch.get_num_threads(), cv2.getNumThreads(), end="")
    for path in _loaded("openblas"):
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads"):
            if getter := getattr(library, name, None):
                print("", getter(), end="")
    print()
""")
    assert [set(line.split()) for line in said] == [{"2"}, {"1"}]


def test_without_a_number_one_core_is_left_to_others():
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        assert process.use_threads() == max(1, len(os.sched_getaffinity(0)) - 1) == torch.get_num_threads()
    finally:
        process.use_threads(before[0])
        cv2.setNumThreads(before[1])


def test_all_threads_keep_to_their_cpus_those_begun_later_too():
    cpu = min(os.sched_getaffinity(0))
    said = apart(f"""
import os, threading
from types import SimpleNamespace
from instance_depth_ros.process import schedule
begun, go, seen = threading.Event(), threading.Event(), []
def look():
    begun.set()
    go.wait()
    seen.append(os.sched_getaffinity(0))
earlier = threading.Thread(target=look)
earlier.start()
begun.wait()
schedule(SimpleNamespace(cpu_affinity="{cpu}", realtime_priority=0))
later = threading.Thread(target=look)
later.start()
go.set()
earlier.join(), later.join()
print(seen + [os.sched_getaffinity(0)])
""")
    assert said == [str([{cpu}] * 3)]


def test_what_the_machine_refuses_is_said_and_the_rest_goes_on(monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    process.schedule(settings(realtime_priority=50))
    assert "realtime_priority 50 refused (Operation not permitted)" in caplog.text
    assert "rtprio" in caplog.text and "going on without" in caplog.text
    caplog.clear()
    process.schedule(settings(cpu_affinity="1023"))
    mine = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    assert f"cpu_affinity '1023' refused (Invalid argument): this process may use {mine}; going on" in caplog.text


def test_real_time_is_had_or_refused_in_words():
    said = apart("""
import logging, os, sys
from types import SimpleNamespace
from instance_depth_ros.process import schedule
logging.basicConfig(stream=sys.stdout, format="%(message)s")
schedule(SimpleNamespace(cpu_affinity="", realtime_priority=1))
print(os.sched_getscheduler(0) == os.SCHED_FIFO)
""")
    assert said == ["True"] or (said[-1] == "False" and "realtime_priority 1 refused" in said[0])


def test_cpus_are_read_as_taskset_writes_them():
    assert process.cpu_list("0") == {0} and process.cpu_list("0,2-4") == {0, 2, 3, 4}
    for wrong in ("two", "1-", "3-1-2", "-1", "4-2"):
        with pytest.raises(ValueError, match=f"cpu_affinity must be CPUs such as 0,2-3, got '{wrong}'"):
            process.cpu_list(wrong)


def test_nothing_is_asked_of_the_machine_by_default(monkeypatch):
    for name in ("sched_setscheduler", "sched_setaffinity"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("asked"))
    for node in ("camera", "depth"):
        process.schedule(config.make(node))


def write(root: Path, **files: str) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_a_board_tells_of_heat_power_and_what_holds_it_back(tmp_path):
    """Laid out as on an Orin with JetPack 6."""
    thermal, rails = "sys/class/thermal", "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    cpu = "sys/devices/system/cpu/cpu0/cpufreq"
    board = {
        f"{thermal}/thermal_zone0/type": "cpu-thermal",
        f"{thermal}/thermal_zone0/temp": "48500",
        f"{thermal}/thermal_zone1/type": "cv0-thermal",  # switched off: it has no temperature
        f"{thermal}/cooling_device0/type": "pwm-fan",
        f"{thermal}/cooling_device0/cur_state": "3",
        f"{thermal}/cooling_device1/type": "cpufreq-cpu0",
        f"{thermal}/cooling_device1/cur_state": "0",
        f"{rails}/in1_label": "VDD_IN",
        f"{rails}/in1_input": "5000",
        f"{rails}/curr1_input": "1500",
        f"{rails}/in2_label": "VDD_CPU_GPU_CV",
        f"{cpu}/scaling_cur_freq": "729600",
        f"{cpu}/scaling_max_freq": "1510400",
        f"{cpu}/cpuinfo_max_freq": "1984000",
        "var/lib/nvpmodel/status": "pmode:0002",
    }
    write(tmp_path, **board)
    expected = {"temperature_c_cpu-thermal": 48.5, "power_w_VDD_IN": 7.5, "power_mode": "0002", "slowed_by": "nothing"}
    expected |= {"cpu_mhz": 729.6, "cpu_mhz_limit": 1510.4, "cpu_mhz_most": 1984.0}
    assert health(tmp_path) == expected
    write(tmp_path, **{f"{thermal}/cooling_device1/cur_state": "2"})
    assert health(tmp_path)["slowed_by"] == "cpufreq-cpu0"


def test_a_machine_that_tells_nothing_of_itself_has_no_values(tmp_path):
    assert health(tmp_path) == {}
    assert all(isinstance(value, float | str) for value in health().values())


def test_memory_that_is_settled_is_not_looked_through():
    process.settle()
    try:
        assert gc.get_freeze_count() > 1000
        assert process.rss_mb() > 10
    finally:
        process.unsettle()
    assert gc.get_freeze_count() == 0


def test_what_was_needed_once_is_given_back():
    said = apart("""
import numpy as np
from instance_depth_ros.process import give_back, keep_memory, rss_mb

keep_memory()
arrays = [np.ones(1 << 20, np.uint8) for _ in range(200)]
del arrays[:100], arrays[1:]
before = rss_mb()
give_back()
print(before - rss_mb() > 150)
""")
    assert said == ["True"]


def test_a_process_does_not_grow_by_what_was_reserved_whatever_was_free_before():
    said = apart("""
import numpy as np
from instance_depth_ros.process import keep_memory, reserve, rss_mb

keep_memory()
hole, above = [np.ones(100 << 20 >> 4, np.uint8) for _ in range(16)], np.ones(1 << 20, np.uint8)
del hole
before = rss_mb()
reserve(100 << 20)
reserved = rss_mb()
arrays = [np.ones(3 << 20, np.uint8) for _ in range(60)]
print(95 < reserved - before < 130, rss_mb() - reserved < 2)
""")
    assert said == ["True True"]


def test_memory_of_the_arrays_of_a_frame_serves_the_next():
    said = apart("""
import resource
import numpy as np
from instance_depth_ros.process import keep_memory

def faults(frames):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(frames):
        arrays = [np.ones(15 << 20, np.uint8) for _ in range(3)]
        del arrays
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / frames

keep_memory()
faults(3)
print(faults(10))
""")
    assert float(said[0]) < 10
