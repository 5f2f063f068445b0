"""What the figures were measured on, and where they are kept."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import vidstyle
from vidstyle.device import machine

RESULTS = Path(__file__).parent / "results"


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    return {
        **machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "vidstyle": vidstyle.__version__,
        "revision": revision(),
    }


def revision() -> str | None:
    """The commit that is checked out, with "+" where files other than the results differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    differs = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/results"], capture_output=True).returncode == 1
    return commit + "+" * differs or None


def run_measured(command: Sequence[str], look: Callable[[int], object] = lambda pid: None) -> tuple[float, float]:
    """Runs a command to its end; the seconds it took, and its peak resident memory in MiB.

    `look` is called with the process's number, some fifty times a second, while it runs.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began, peak = time.monotonic(), 0.0
    with subprocess.Popen(command) as job:
        while job.poll() is None:
            # asked of the process itself while it runs: what `wait4` gives in the end may be the peak of the process that started it
            peak = max(peak, memory_mib(job.pid, "VmHWM"))
            look(job.pid)
            time.sleep(0.02)
    if job.returncode:
        raise subprocess.CalledProcessError(job.returncode, command)
    return time.monotonic() - began, peak


def memory_mib(pid: int, kind: str) -> float:
    """The resident memory of a running process (Linux), in MiB, now ("VmRSS") or at its peak ("VmHWM"); 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(kind)), 0.0)


def save(name: str, rows: Sequence[dict[str, Any]], *keys: str) -> Path:
    """Writes rows of figures with the machine's description under `benchmarks/results/`.

    With `keys`, what the file holds of other jobs, told by these, stays in it, and says on what it was measured where that differs.
    """
    RESULTS.mkdir(exist_ok=True)
    path, machine = RESULTS / f"{name}.json", describe_machine()
    path.write_text(json.dumps({"machine": machine, "figures": [*others(name, rows, keys, machine), *rows]}, indent=1) + "\n")
    return path


def saved(name: str) -> list[dict[str, Any]]:
    """The rows of figures that `save` has written; none where it has not."""
    rows: list[dict[str, Any]] = _file(name)["figures"]
    return rows


def others(name: str, rows: Sequence[dict[str, Any]], keys: Sequence[str], machine: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that `save` has written of anything but `rows`, each with the machine it was measured on, unless that is `machine`."""
    if not keys:
        return []
    file = _file(name)
    measured = [[row.get(key) for key in keys] for row in rows]
    found = []
    for row in file["figures"]:
        if [row.get(key) for key in keys] in measured:  # a key may have come later than a row
            continue
        on = row.pop("machine", file["machine"])
        found.append(row if on == machine else row | {"machine": on})
    return found


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows of plain figures one below the other; a column for every name that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *(["" if row.get(name) is None else str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    for line in cells:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)))


def _file(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    file: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"machine": None, "figures": []}
    return file
