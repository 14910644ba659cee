"""Limits of control groups: of containers, of batch queues, of groups within groups."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from shakegpt.hardware import control_group, memory

GIB = 1 << 30
FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system of control groups that has none yet; this process is in no group."""
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    monkeypatch.setattr(control_group, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def limit(group: Path, version: int, most: int | str, used: int, cached: int = 0) -> None:
    limit_file, usage_file, cache_key = FILES[version]
    group.mkdir(parents=True, exist_ok=True)
    (group / limit_file).write_text(f"{most}\n")
    (group / usage_file).write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\n{cache_key} {cached}\nfile 7\n")


def enter(root: Path, version: int, group: str) -> Path:
    """Put this process in a group, with those of other controllers around it; its directory."""
    line = {2: f"0::{group}", 1: f"4:memory:{group}\n7:cpu,cpuacct:{group}\n0::/session.scope"}
    (root / "membership").write_text(f"9:name=systemd:/elsewhere\n8:pids:/\n{line[version]}\n")
    return root / ("" if version == 2 else "memory") / group.lstrip("/")


def test_without_groups_nothing_is_limited(root: Path) -> None:
    assert control_group.memory_left() is None and control_group.processors() is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_sees_its_own_group_as_the_root(root: Path, version: int) -> None:
    enter(root, version, "/docker/0123abcd")  # a directory of the host, which is not there
    limit(root / ("" if version == 2 else "memory"), version, 4 * GIB, GIB)
    assert control_group.memory_left() == 3 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_page_cache_is_not_memory_in_use(
    root: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = enter(root, version, "/job")
    limit(group, version, 4 * GIB, 3 * GIB, cached=2 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: _Free(100 * GIB))
    assert memory.available_memory() == 3 * GIB
    monkeypatch.setattr(psutil, "virtual_memory", lambda: _Free(GIB))
    assert memory.available_memory() == GIB
    limit(group, version, "max", 3 * GIB)
    assert memory.available_memory() == GIB


@pytest.mark.parametrize("version", [1, 2])
def test_every_group_around_the_process_counts(root: Path, version: int) -> None:
    step = enter(root, version, "/slurm/uid_1000/job_7/step_0")
    limit(step, version, "max" if version == 2 else (1 << 63) - 4096, GIB)
    limit(step.parent, version, 8 * GIB, 5 * GIB)  # the job's other steps use it, too
    limit(step.parent.parent, version, 64 * GIB, 60 * GIB)
    assert control_group.memory_left() == 3 * GIB
    limit(step.parent, version, 8 * GIB, 9 * GIB)
    assert control_group.memory_left() == 0


def test_processor_time_of_version_2(root: Path) -> None:
    group = enter(root, 2, "/user.slice/run-7.scope")
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("150000 100000\n")
    (group.parent / "cpu.max").write_text("max 100000\n")
    assert control_group.processors() == 1.5


def test_processor_time_of_version_1(root: Path) -> None:
    enter(root, 1, "/job")
    group = root / "cpu" / "job"
    group.mkdir(parents=True)
    (group / "cpu.cfs_period_us").write_text("50000\n")
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert control_group.processors() is None
    (group / "cpu.cfs_quota_us").write_text("200000\n")
    assert control_group.processors() == 4


class _Free:
    def __init__(self, available: int) -> None:
        self.available = available
