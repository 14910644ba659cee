"""A token's step and products of a few rows in C: `decode.c`, compiled by the system's compiler for
this processor.

It takes a fraction of a second, once: the library stays in the user's cache, under a name of the
source, the compiler and the processor, so that no other processor runs it. It is linked with
nothing: the functions of C and OpenMP are those that PyTorch has loaded, so both share their
threads.
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
"""Weights in 8 bits that share a scale, as in decode.c."""
MOST = 1 << 19
"""Numbers of a product's x at most: decode.c has them on its stack, 2 bytes each."""
SOURCE = Path(__file__).with_name("decode.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-nostdlib",
         # a sum may be taken in any order; NaN stays NaN
         "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
         "-fno-math-errno")  # fmt: skip
PATIENCE = 5.0
"""Seconds after which the compiler is stopped."""
PROCESSOR = ("vendor_id", "cpu family", "model", "flags", "CPU", "Features")
"""What lines of /proc/cpuinfo begin with that say which instructions there are."""


class Matrix(ctypes.Structure):
    """`struct matrix` of decode.c: pointers, so the tensors must be kept."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("n_out", ctypes.c_int64),
        ("n_in", ctypes.c_int64),
        ("bits", ctypes.c_int64),
    )


class Norm(ctypes.Structure):
    """`struct norm` of decode.c."""

    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("epsilon", ctypes.c_float),
    )


class Block(ctypes.Structure):
    """`struct block` of decode.c."""

    _fields_ = (
        ("ln_1", Norm),
        ("c_attn", Matrix),
        ("attn_proj", Matrix),
        ("ln_2", Norm),
        ("c_fc", Matrix),
        ("mlp_proj", Matrix),
    )


class Model(ctypes.Structure):
    """`struct model` of decode.c."""

    _fields_ = (
        ("blocks", ctypes.POINTER(Block)),
        ("n_layer", ctypes.c_int64),
        ("n_head", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("window", ctypes.c_int64),
        ("ln_f", Norm),
        ("head", Matrix),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


def matrix(
    weights: Tensor, n_in: int, scales: Tensor | None = None, bias: Tensor | None = None
) -> Matrix:
    """Weights (out, in) in float32 or bfloat16, or (out, blocks, BLOCK) in 8 bits with scales (out,
    blocks); bias (out,). All contiguous.
    """
    scale, add = (None if t is None else t.data_ptr() for t in (scales, bias))
    return Matrix(weights.data_ptr(), scale, add, len(weights), n_in, 8 * weights.element_size())


def product(matrix: Matrix, x: Tensor) -> Tensor:
    """A few rows x (M, in), float32 and contiguous -> (M, out).

    With weights in 8 bits x is rounded to 16 bits.
    """
    y = torch.empty(len(x), matrix.n_out)
    threads = torch.get_num_threads()
    library().product(ctypes.byref(matrix), x.data_ptr(), y.data_ptr(), len(x), threads)
    return y


def step(model: Model, x: Tensor, logits: Tensor, scratch: Tensor, position: int) -> None:
    """Logits (V,) of the embedding x (C,) of the token at `position`, whose keys and values are
    stored; x is overwritten, and `scratch`, of 4 * C + the MLP's width.
    """
    pointers = x.data_ptr(), logits.data_ptr(), scratch.data_ptr()
    library().step(ctypes.byref(model), *pointers, position, torch.get_num_threads())


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
    loaded = ctypes.CDLL(str(path))
    pointer, count, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    loaded.product.argtypes = [pointer, pointer, pointer, count, threads]
    loaded.step.argtypes = [pointer, pointer, pointer, pointer, count, threads]
    loaded.product.restype = loaded.step.restype = None
    return loaded


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
        made = Path(folder) / "decode.so"
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
