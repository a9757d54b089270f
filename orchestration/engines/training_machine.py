"""What this machine trains on, and with which libraries. Imports no torch."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from assets.ports.training import Machine, MissingExtra

DECIDING = ("torch", "transformers", "peft", "accelerate")
_EXTRAS = {"trl": ("dpo", "adapter.dpo.enabled is true"), "bitsandbytes": ("qlora", 'adapter.quantize is "4bit"')}


def machine() -> Machine:
    """The first GPU, or else the CPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = _gpu()
    return Machine("cuda", name, cores) if name else Machine("cpu", "cpu", cores)


def versions(said: Mapping[str, Any]) -> dict[str, str]:
    """Versions of what decides the bits of such a training; MissingExtra where one is not installed."""
    wanted = [*DECIDING]
    wanted += ["trl"] if said["dpo"]["enabled"] else []
    wanted += ["bitsandbytes"] if said["quantize"] == "4bit" else []
    return {name: _version(name) for name in wanted}


def watts() -> float | None:
    """What the GPUs of this machine draw now; None where nobody tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout  # noqa: S603
        return float(said.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # a card that does not measure itself: the estimate stays


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        extra, why = _EXTRAS.get(name, ("", "every adapter needs it"))
        package = f"pip install 'twohands[{extra}]'" if extra else f"pip install {name}"
        raise MissingExtra(
            f"{name} is not installed, and {why}", expected=f"the library {name}", next_step=package
        ) from None


@functools.cache
def _gpu() -> str:
    """The name of the first GPU, as the driver says it; empty where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(128)
        good = cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
        if good and cuda.cuDeviceGet(ctypes.byref(device), 0) == 0 and cuda.cuDeviceGetName(name, 128, device) == 0:
            return name.value.decode("utf-8", "replace")
    except OSError:
        pass  # no driver: no GPU
    return ""
