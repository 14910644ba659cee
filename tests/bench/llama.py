"""llama.cpp as a peer, by llama-cpp-python, with the weights that `shakegpt export` writes.

Its speed depends on how it was built: `CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-binary
llama-cpp-python llama-cpp-python` compiles it for the processor at hand.
"""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

import torch

from shakegpt.checkpoint.gguf_file import write_gguf
from shakegpt.checkpoint.io import POCKET
from shakegpt.data.tokenizer import Tokenizer
from shakegpt.errors import ShakegptError
from shakegpt.model import GPT
from tests.bench.turns import Job

TYPES = {"float32": None, "bf16": "LLAMA_FTYPE_MOSTLY_BF16", "int8": "LLAMA_FTYPE_MOSTLY_Q8_0"}
"""Our types, and those of llama.cpp that are nearest."""
GREEDY = 16
"""Tokens that must be the same as ours before anything is timed."""


def available() -> bool:
    """Whether llama.cpp can be measured; says how to get it if not."""
    try:
        importlib.import_module("llama_cpp")
        importlib.import_module("gguf")
    except ImportError as error:
        print(f"llama.cpp is not measured ({error}): pip install llama-cpp-python gguf\n")
        return False
    return True


def llama_samplings(
    ours: GPT, folder: Path, prompt: list[int], n: int, greedy: list[int]
) -> dict[str, Job]:
    """Jobs that sample `n` tokens with the weights of `ours`, by each of `TYPES`.

    Its first greedy tokens in float32 are `greedy`, or nothing is timed.
    """
    whole = folder / "float32.gguf"
    write_gguf(whole, "bench", ours, Tokenizer(POCKET))
    theirs = list(itertools.islice(_load(whole).generate(prompt, temp=0.0), GREEDY))
    assert theirs == greedy[:GREEDY], "the greedy tokens are not those of llama.cpp"
    return {
        f"llama.cpp {name}": _sampling(_converted(whole, folder, name), prompt, n) for name in TYPES
    }


def _sampling(path: Path, prompt: list[int], n: int) -> Job:
    model = _load(path)
    how = {"top_k": 200, "top_p": 1.0, "min_p": 0.0, "temp": 0.8, "repeat_penalty": 1.0}

    def run() -> list[int]:
        model.reset()
        return list(itertools.islice(model.generate(prompt, **how), n))

    return run


def _load(path: Path) -> Any:
    llama_cpp: Any = importlib.import_module("llama_cpp")
    threads = torch.get_num_threads()
    # a cache in float32, as ours
    kept = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    return llama_cpp.Llama(
        str(path), n_ctx=0, n_threads=threads, n_threads_batch=threads, verbose=False, **kept
    )


def _converted(whole: Path, folder: Path, name: str) -> Path:
    """The file in fewer bits, by llama.cpp's own conversion. Raises ShakegptError."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    if (kind := TYPES[name]) is None:
        return whole
    narrow = folder / f"{name}.gguf"
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = getattr(llama_cpp, kind)
    if llama_cpp.llama_model_quantize(str(whole).encode(), str(narrow).encode(), how):
        raise ShakegptError(f"llama.cpp cannot convert {whole} to {name}", exit_code=1)
    return narrow
