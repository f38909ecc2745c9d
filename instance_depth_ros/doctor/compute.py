"""GPU and driver, torch and the engines beside it."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

from ..sysfs import text
from .check import OK, RED, WARN, Check, installed

PATIENCE_S = 20
NVIDIA, DISPLAY_CLASS = "0x10de", "0x03"
NO_GPU = "no NVIDIA GPU: the network runs on the processor"


def checks(root: Path) -> list[Check]:
    found = gpu(root)
    there = found.found != NO_GPU
    return [found, torch_for(there, "L4T" in found.found), *engines(there), stored()]


def gpu(root: Path) -> Check:
    """The NVIDIA GPU and its driver; root: a folder that holds proc/, sys/ and etc/."""
    if release := text(root / "etc/nv_tegra_release"):
        board = text(root / "proc/device-tree/model").rstrip("\0") or "Jetson"
        return Check("GPU", OK, f"{board}, L4T {', '.join(re.findall(r'R[0-9]+|REVISION: [0-9.]+', release))}")
    answers, said = nvidia_smi()
    if answers:
        return Check("GPU", OK, said)
    if driver := re.search(r"Module +([0-9.]+)", text(root / "proc/driver/nvidia/version")):
        if said:  # the driver runs but does not answer: most often it was updated and not loaded anew
            return Check("GPU", RED, f"driver {driver[1]}, nvidia-smi: {said}", "sudo reboot")
        models = [text(file) for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))]
        names = [match[1] for match in (re.search(r"Model:\s*(.+)", model) for model in models) if match]
        return Check("GPU", OK, f"{', '.join(names) or 'NVIDIA'}, driver {driver[1]}")
    for vendor in root.glob("sys/bus/pci/devices/*/vendor"):
        if text(vendor) == NVIDIA and text(vendor.with_name("class")).startswith(DISPLAY_CLASS):
            return Check("GPU", RED, "an NVIDIA GPU without its driver", "sudo ubuntu-drivers install && sudo reboot")
    return Check("GPU", OK, NO_GPU)


def nvidia_smi() -> tuple[bool, str]:
    """Whether it answers, and a line of what it says; '' where it is not installed."""
    if not shutil.which("nvidia-smi"):
        return False, ""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    lines = (asked.stdout + asked.stderr).strip().splitlines() or ["nothing"]
    return asked.returncode == 0, "; ".join(lines)


def torch_for(gpu_there: bool, jetson: bool = False) -> Check:
    """torch in this Python, and whether its CUDA is one that the driver knows."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", RED, f"does not load: {error}", "pip install torch safetensors")
    found = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        try:
            torch.ones(1, device="cuda").sum().item()
        except RuntimeError as error:  # no code for this GPU in that build
            return Check("torch", RED, f"{found}: {error}".splitlines()[0], "pip install --upgrade torch")
        return Check("torch", OK, f"{found}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}")
    if not gpu_there:
        return Check("torch", OK, found)
    if torch.version.cuda is None:
        reinstall = "pip install --force-reinstall torch"
        of_nvidia = "pip install the wheel of NVIDIA's page 'Installing PyTorch for Jetson Platform'"
        return Check("torch", WARN, f"{found} is a build for processors", of_nvidia if jetson else reinstall)
    if (known := cuda_of_driver()) and int(torch.version.cuda.split(".")[0]) > known[0]:
        said = f"{found} is for CUDA {torch.version.cuda}, the driver knows {known[0]}.{known[1]}"
        return Check("torch", RED, said, "sudo ubuntu-drivers install && sudo reboot")
    way_out = "sudo modprobe nvidia_uvm; in a container: docker run --gpus all ..."
    return Check("torch", RED, f"{found} for CUDA {torch.version.cuda} sees no GPU", way_out)


def cuda_of_driver() -> tuple[int, int] | None:
    """The newest CUDA that the driver knows (cuDriverGetVersion); None without a driver."""
    number = ctypes.c_int()
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except OSError:
        return None
    return number.value // 1000, number.value % 1000 // 10


def engines(gpu_there: bool) -> list[Check]:
    """What serves faster than eager torch; TensorRT only where there is a GPU."""
    if onnx := installed("onnxruntime"):
        found = [Check("ONNX Runtime", OK, onnx)]
    else:
        found = [Check("ONNX Runtime", WARN, "not installed", "pip install onnx onnxscript onnxruntime")]
    if not gpu_there:
        return found
    ours, theirs = installed("torch_tensorrt"), installed("torch")
    minor = ".".join(theirs.split(".")[:2])
    mend = f"pip install 'torch-tensorrt=={minor}.*'" if minor else "pip install torch torch-tensorrt"
    if not ours:
        return [*found, Check("TensorRT", WARN, "torch-tensorrt is not installed", mend)]
    said = f"torch-tensorrt {ours}, TensorRT {installed('tensorrt') or 'of the system'}"
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        return [*found, Check("TensorRT", WARN, f"{said}, made for another torch than {theirs}", mend)]
    return [*found, Check("TensorRT", OK, said)]


def stored() -> Check:
    """Engines made ahead of time."""
    try:
        from ..engines import store
    except (ImportError, OSError):
        return Check("stored engines", OK, "unknown without torch")
    kinds = sorted({entry.key["engine"] for entry in store.entries()})
    none = "none: the depth node builds them, or instance-depth engine build"
    return Check("stored engines", OK, f"{', '.join(kinds)} in {store.folder()}" if kinds else none)
