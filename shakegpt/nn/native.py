"""Products of a few rows in C: `dot.c`, compiled by the system's compiler for this processor.

It takes a fraction of a second, once: the library stays in the user's cache, under a name of the
source, the compiler and the processor, so that no other processor runs it. It is linked with
nothing. OpenMP's functions are those that PyTorch has loaded, so both share their threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.data.cache import cache_dir, write_cache

BLOCK = 128
"""Weights in 8 bits that share a scale, as in dot.c."""
MOST = 1 << 19
"""Numbers of x at most: dot.c has them on its stack, 2 bytes each."""
SOURCE = Path(__file__).with_name("dot.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-nostdlib",
         # a sum may be taken in any order; NaN stays NaN
         "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
         "-fno-math-errno")  # fmt: skip
PATIENCE = 5.0
"""Seconds after which the compiler is stopped."""
PROCESSOR = ("vendor_id", "cpu family", "model", "flags", "CPU", "Features")
"""What lines of /proc/cpuinfo begin with that say which instructions there are."""


def bf16_product(weights: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Weights (out, in) in bfloat16, bias (out,), x (M, in) -> (M, out). All contiguous."""
    (rows, n_in), n_out = x.shape, len(weights)
    y, add = torch.empty(rows, n_out), None if bias is None else bias.data_ptr()
    pointers = weights.data_ptr(), add, x.data_ptr(), y.data_ptr()
    library().bf16_product(*pointers, rows, n_out, n_in, torch.get_num_threads())
    return y


def int8_product(weights: Tensor, scales: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Weights (out, blocks, BLOCK) in 8 bits, scales (out, blocks), bias (out,), x (M, in) ->
    (M, out). All contiguous.

    x is rounded to 16 bits; what the last block has beyond it is ignored.
    """
    (rows, n_in), n_out = x.shape, len(weights)
    y, add = torch.empty(rows, n_out), None if bias is None else bias.data_ptr()
    pointers = weights.data_ptr(), scales.data_ptr(), add, x.data_ptr(), y.data_ptr()
    library().int8_product(*pointers, rows, n_out, n_in, torch.get_num_threads())
    return y


@cache
def library() -> ctypes.CDLL:
    """`load`, once in a process."""
    return load()


def load() -> ctypes.CDLL:
    """The library, compiled unless the cache has it.

    Raises OSError or subprocess.SubprocessError where it cannot be compiled, kept or loaded.
    """
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        raise OSError("only on Linux with a C compiler")
    folder = cache_dir() / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OSError(f"others may write to {folder}")
    path = folder / f"{_key(compiler)}.so"
    if not _intact(path):
        _compile(compiler, path)
    dot = ctypes.CDLL(str(path))
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    dot.bf16_product.argtypes = [*[pointer] * 4, *[size] * 3, ctypes.c_int]
    dot.int8_product.argtypes = [*[pointer] * 5, *[size] * 3, ctypes.c_int]
    dot.bf16_product.restype = dot.int8_product.restype = None
    return dot


def _key(compiler: str) -> str:
    """What the library depends on, hashed."""
    binary = Path(compiler).resolve()
    stat = binary.stat()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        first = takewhile(str.strip, file)
        processor = [line for line in first if line.startswith(PROCESSOR)]
    parts = (SOURCE.read_bytes(), FLAGS, binary, stat.st_size, stat.st_mtime_ns, processor)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _compile(compiler: str, path: Path) -> None:
    """Write the library to `path`, and after it its sha256, which a loader does not look at."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "dot.so"
        subprocess.run(
            [compiler, *FLAGS, "-o", made, SOURCE],
            check=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        content = made.read_bytes()
    write_cache(path, content + hashlib.sha256(content).digest())


def _intact(path: Path) -> bool:
    """Whether `path` is as `_compile` wrote it: loading a damaged library may kill the process."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    size = hashlib.sha256().digest_size
    return content[-size:] == hashlib.sha256(content[:-size]).digest()
