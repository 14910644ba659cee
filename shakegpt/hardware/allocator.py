"""Where the tensors of a training on a CPU lie: kept between steps, in large pages where Linux can.

A step makes and frees gigabytes of tensors. Given back each time, they come as fresh pages, a fault
and 4 kB of zeros each: half a million faults a step of 124M, a fifth of the processor's time. And
products read matrices across thousands of pages, which pages of 2 MB make a few. Neither changes a
number. What a heap keeps is lost to tensors of other sizes, so it costs memory (plan.PROCESS).
"""

from __future__ import annotations

import ctypes
import mmap
import sys

from shakegpt.hardware.memory import available_memory
from shakegpt.model import GPT

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h: free memory at the end of the heap, and the size of a request, above
which memory goes back to, or comes from, the kernel."""
_NONE = -1
"""No such size: nothing goes back."""
_HUGE_PAGE = 14
"""MADV_HUGEPAGE of Linux's mman.h."""
SMALL = 1 << 20
"""Where nothing is kept, requests from this size on go back to the kernel when they are freed."""


def settle_allocator(needed: int, keep: bool = True) -> bool:
    """Have the C library `keep` freed memory for a run that needs so many bytes, if that fits.

    Returns whether it does; else, memory is given back at once, as a run with little of it wants.
    Nothing where there is no glibc.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        return False
    kept = keep and 2 * needed < available_memory()
    libc.mallopt(_MMAP_THRESHOLD, _NONE if kept else SMALL)
    libc.mallopt(_TRIM_THRESHOLD, _NONE if kept else SMALL)
    if kept:
        _ask_for_large_pages(libc, needed + needed // 4)
    return kept


def _ask_for_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """Grow the heap by `size` bytes, none of which is touched, and name what they are for.

    The heap does not shrink again, so that later tensors lie there.
    """
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    begin = libc.malloc(size)
    if begin is None:  # a limit on the address space: small pages do as well
        return
    first = begin + -begin % mmap.PAGESIZE
    libc.madvise(first, (begin + size - first) // mmap.PAGESIZE * mmap.PAGESIZE, _HUGE_PAGE)
    libc.free(begin)


def take_in(model: GPT) -> GPT:
    """Copy weights that are mapped from a file, in small pages, to the heap; the same numbers."""
    for p in model.parameters():
        p.data = p.data.clone()
    return model
