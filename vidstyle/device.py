"""Which device computes, in which precision. The one place that asks what the machine has."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vidstyle.errors import UsageError
from vidstyle.settings import Precision

__all__ = [
    "available_memory",
    "keep_freed_memory",
    "machine",
    "matrix_units",
    "network_format",
    "resolve_device",
    "resolve_devices",
    "spare_threads",
]


_MOST_THREADS = 16
"""A frame that is looked ahead to keeps 150 bytes a pixel in memory."""


def resolve_device(name: str) -> torch.device:
    """Turns `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is really there.

    Raises:
        UsageError: the name is unknown or this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: not a device; use auto, cpu, cuda, cuda:0 or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: not available on this machine; use auto or cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name}: vidstyle computes on cpu, cuda or mps")
    return device


def resolve_devices(names: Sequence[str]) -> tuple[torch.device, ...]:
    """Turns the names of one device or several into devices that are really there: one of any kind, or several GPUs.

    `cpu` may be named several times too, to try what several devices do where there are none.

    Raises:
        UsageError: this machine has no such device, or they do not go together.
    """
    if len(names) == 1:
        return (resolve_device(names[0]),)
    flag = f"--device {','.join(names)}"
    if "" in names:
        raise UsageError(f"{flag}: a comma stands beside no device; name several as cuda:0,cuda:1")
    if "auto" in names:
        raise UsageError(f"{flag}: auto chooses one device; give it alone, or name every device, as cuda:0,cuda:1")
    if {name.partition(":")[0] for name in names} not in ({"cuda"}, {"cpu"}):
        raise UsageError(f"{flag}: only CUDA devices share the work; name those alone, as cuda:0,cuda:1, or one device")
    found = [resolve_device(name) for name in names]
    devices = tuple(torch.device("cuda", device.index or 0) if device.type == "cuda" else torch.device("cpu") for device in found)
    twice = next((device for device in devices if device.type == "cuda" and devices.count(device) > 1), None)
    if twice is not None:
        raise UsageError(f"{flag}: {twice} is named more than once; name every device once")
    return devices


def spare_threads(device: torch.device) -> int:
    """How many threads may find the flow of coming frames: none where the CPU paints, whom they would only hold up.

    Elsewhere they have nothing else to do, but for two.
    """
    return 0 if device.type == "cpu" else min(max((os.cpu_count() or 1) - 2, 1), _MOST_THREADS)


def network_format(precision: Precision) -> torch.dtype:
    """What the network's weights and activations are kept in."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


@contextmanager
def matrix_units(precision: Precision, device: torch.device) -> Iterator[None]:
    """Lets a GPU's matrix units round float32 to TF32 while the block runs, or forbids it; what was allowed before is put back.

    Convolutions are those that give the same numbers every time. All of it is the process's, not a thread's: whoever computes on a GPU
    beside another is to do so in the same block. On other devices nothing is touched.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    convolutions, products, same = cudnn.allow_tf32, torch.get_float32_matmul_precision(), cudnn.deterministic
    rounds = precision != "float32"
    cudnn.allow_tf32, cudnn.deterministic = rounds, True
    torch.set_float32_matmul_precision("high" if rounds else "highest")
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic = convolutions, same
        torch.set_float32_matmul_precision(products)


def machine() -> dict[str, Any]:
    """What computes here: `processor`, `cores`, `memory_gb`, and `gpu`, which is None without CUDA."""
    processor, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        processor = next(names, processor)
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1) if hasattr(os, "sysconf") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def keep_freed_memory(keep: bool = True) -> None:
    """Has the process keep what its tensors give back, for the next ones, instead of returning it to the system each time; or not.

    By default the C library of Linux maps every large tensor afresh, so that each of its pages is cleared and faulted in, at every step:
    a fifth of a step's time. But what is kept has gaps that tensors of other sizes do not fit into: in strips, half as much memory again
    is taken. Elsewhere nothing is done.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(parameter, _A_GIBIBYTE if keep else _A_MEBIBYTE)


_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
"""From <malloc.h>: bytes from which on a block is mapped by itself, and that lie free at the end before they are returned."""
_A_GIBIBYTE, _A_MEBIBYTE = 1 << 30, 1 << 20


def available_memory(device: torch.device) -> int | None:
    """Bytes that a job may still take on the device, or None where the system does not tell.

    On a CPU under Linux this is the smaller of what the kernel calls available and what the
    control group of the process still allows.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    limits = [value for value in (_meminfo_available(), _cgroup_available(), _address_space_available()) if value is not None]
    return min(limits, default=None)


def _meminfo_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return None


def _cgroup_available() -> int | None:
    root = Path("/sys/fs/cgroup")
    try:
        limit, used = (root / "memory.max").read_text().strip(), (root / "memory.current").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else max(int(limit) - int(used), 0)


def _address_space_available() -> int | None:
    """What `ulimit -v` leaves, so that a job in a fenced shell is refused in words and not by the allocator."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return None
    return max(limit - pages * os.sysconf("SC_PAGE_SIZE"), 0)
