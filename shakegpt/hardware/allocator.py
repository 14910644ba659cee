"""Tuning of glibc's allocator for a process that trains on a CPU: no trimming, huge pages.

A step allocates and frees gigabytes of tensors. If the allocator returns them to the kernel, each
page is faulted in and zeroed again: half a million faults per step of 124M, a fifth of the CPU
time. And products read matrices across thousands of pages, or a few huge ones of 2 MB. Neither
changes a number. Memory kept by the heap may not suit tensors of other sizes, so this costs memory
(`memory.PROCESS`). It applies to the whole process and cannot be undone, so only the command line
does it, never a library call.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor, nn

from shakegpt.hardware import fast_paths
from shakegpt.hardware.memory import available_memory

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt in glibc's malloc.h: free memory at the end of the heap, and size of a
request, above which memory is returned to, or mapped from, the kernel."""
_NEVER = -1
_HUGE_PAGE = 14
"""MADV_HUGEPAGE of Linux's mman.h."""
_HUGE = 2 << 20
"""Bytes of a huge page."""
SMALL = 1 << 20
"""With little memory, freed blocks of at least this many bytes are returned to the kernel."""


def keep_freed_memory(needed: int, keep: bool = True) -> bool:
    """Let glibc `keep` freed memory for a run that needs `needed` bytes, if twice as much is free.

    Returns whether it does; otherwise freed memory is returned to the kernel at once. Does nothing
    without glibc, if glibc rejects the settings, and with SHAKEGPT_PLAIN=1.
    """
    if sys.platform != "linux" or not fast_paths.enabled():
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "gnu_get_libc_version"):
        return False
    keep = keep and 2 * needed < available_memory()
    threshold = _NEVER if keep else SMALL
    # mallopt returns 1 if it accepts the value
    accepted = [libc.mallopt(which, threshold) for which in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)]
    if not keep or accepted != [1, 1]:
        return False
    _request_huge_pages(libc, needed + needed // 4)
    return True


def _request_huge_pages(libc: ctypes.CDLL, size: int) -> None:
    """Grow the heap by `size` bytes, and request huge pages for them.

    The heap does not shrink again, so later tensors are allocated there.
    """
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    begin = libc.malloc(size)
    if begin is None:  # a limit on the address space: ordinary pages then
        return
    first = begin + -begin % mmap.PAGESIZE
    libc.madvise(first, (begin + size - first) // mmap.PAGESIZE * mmap.PAGESIZE, _HUGE_PAGE)
    libc.free(begin)


def huge_pages(size: int) -> Tensor:
    """Memory of `size` bytes, not yet touched, for which huge pages are requested from Linux."""
    memory = torch.empty(size + 2 * _HUGE, dtype=torch.uint8)
    begin = -memory.data_ptr() % _HUGE
    if sys.platform == "linux" and fast_paths.enabled():
        libc = ctypes.CDLL(None)
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.madvise(memory.data_ptr() + begin, size + -size % _HUGE, _HUGE_PAGE)
    return memory[begin : begin + size]


def release_freed_memory() -> None:
    """Return all free memory of the heap to the kernel; does nothing without glibc."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def materialize_weights(model: nn.Module) -> None:
    """Copy memory-mapped weights to the heap."""
    for p in model.parameters():
        p.data = p.data.clone()
