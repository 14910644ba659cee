"""What the control groups of this process (cgroups(7)) leave it of memory and processor time.

A container, a batch queue, `systemd-run -p MemoryMax=4G -p CPUQuota=200%` or a session can limit
either. Every group around the process counts, of version 1 and 2. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
"""A line `number:controllers:group` for each hierarchy; version 2 names no controllers."""
MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of version 2 and 1: the limit, what is used, and the key of reclaimable page cache in
`memory.stat`."""


def memory_left() -> int | None:
    """Bytes that this process can still allocate within its groups; None without a limit.

    Page cache that the kernel can drop does not count as used.
    """
    left = []
    for group in _groups("memory"):
        for limit_file, usage_file, cache_key in MEMORY_FILES:
            with suppress(OSError, ValueError, KeyError):  # no such file, or "max": no limit
                limit = int((group / limit_file).read_text())
                usage = int((group / usage_file).read_text())
                lines = (group / "memory.stat").read_text().splitlines()
                cache = int(dict(line.split() for line in lines)[cache_key])
                left.append(max(0, limit - max(0, usage - cache)))
    return min(left, default=None)


def processors() -> float | None:
    """Processors whose time this process may use, a fraction or more; None without a quota."""
    quotas = []
    for group in _groups("cpu"):
        with suppress(OSError, ValueError):  # no such file, or "max": no quota
            quota, period = map(int, (group / "cpu.max").read_text().split())
            quotas.append(quota / period)
        with suppress(OSError, ValueError):
            quota = int((group / "cpu.cfs_quota_us").read_text())
            if quota > 0:
                quotas.append(quota / int((group / "cpu.cfs_period_us").read_text()))
    return min(quotas, default=None)


def _groups(controller: str) -> Iterator[Path]:
    """Directories of the groups around this process, inner ones first, of version 2, then 1.

    The root is always among them: in a container it is the container's own group.
    """
    names = {"": "/", controller: "/"}
    with suppress(OSError):  # no Linux
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            names |= {key: name for key in controllers.split(",") if key in names}
    for key, name in names.items():
        inner = PurePosixPath(name)
        for group in (inner, *inner.parents):
            yield ROOT / key / group.relative_to("/")
