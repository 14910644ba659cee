"""AdamW from file to file: weights, gradients and moments pass through memory in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from shakegpt.hardware.memory import PIECE
from shakegpt.out_of_core.files import PagedModel, TensorFile
from shakegpt.train.optimizer import MOMENTS, AdamW, Group, update


class FileAdamW(AdamW):
    """AdamW over the parameters of a `PagedModel`, with gradients and moments in files as well.

    A gradient is passed to `collect` as soon as it is complete. The update equals AdamW's to the
    bit, since PIECE is a multiple of any vector's length.
    """

    def __init__(
        self,
        named: Mapping[str, Tensor],
        groups: list[Group],
        model: PagedModel,
        open_file: Callable[[str, Mapping[str, torch.Size]], TensorFile],
    ) -> None:
        """Zero moments; `open_file` creates a file from name and shapes. Raises ShakegptError."""
        super().__init__(named, groups)
        shapes = {name: p.shape for name, p in named.items()}
        self._model, self._weights, self._steps = model, model.file, 0
        moments = {f"{key}.{name}": shape for name, shape in shapes.items() for key in MOMENTS}
        self._moments, self._gradients = (
            open_file("moments", moments),
            open_file("gradients", shapes),
        )
        self._norms = dict[str, Tensor]()
        self._clip = (torch.inf, torch.zeros(()))

    @torch.no_grad()
    def collect(self, names: Iterable[str]) -> None:
        """Move the gradients of these parameters from memory to the file."""
        for name in names:
            gradient = self.named[name].grad
            assert gradient is not None, name
            self._norms[name] = torch.linalg.vector_norm(gradient)
            self._gradients.write(name, gradient)
            self.named[name].grad = None

    def clip(self, max_norm: float) -> Tensor:
        """Make the next step scale the gradients down to `max_norm`; returns their norm, ()."""
        norm: Tensor = torch.linalg.vector_norm(torch.stack([self._norms[n] for n in self.named]))
        self._clip = max_norm, norm
        return norm

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter."""
        pieces = torch.empty(4, min(PIECE, max(p.numel() for p in self.named.values())))
        names = {p: name for name, p in self.named.items()}
        for file in (self._weights, self._moments):
            file.start_update()
        for group in self.param_groups:
            for p in group["params"]:
                for begin in range(0, p.numel(), PIECE):
                    count = min(PIECE, p.numel() - begin)
                    self._update(group, names[p], begin, pieces[:, :count])
        for file in (self._weights, self._moments):
            file.finish_update()
        self._model.remap()
        self._steps += 1

    def _update(self, group: Group, name: str, begin: int, pieces: Tensor) -> None:
        """Update a piece of a parameter in the buffers `pieces` (4, numbers)."""
        weights, gradients, *moments = pieces.unbind()
        self._weights.read(name, weights, begin)
        self._gradients.read(name, gradients, begin)
        for key, moment in zip(MOMENTS, moments, strict=True):
            self._moments.read(f"{key}.{name}", moment, begin)
        weights.grad = gradients
        torch.nn.utils.clip_grads_with_norm_([weights], *self._clip)
        mean, square = moments
        steps = torch.tensor(float(self._steps))
        update(group, [weights], [gradients], [mean], [square], [steps])
        self._weights.write(name, weights, begin)
        for key, moment in zip(MOMENTS, moments, strict=True):
            self._moments.write(f"{key}.{name}", moment, begin)

    def zero_grad(self) -> None:
        """Discard the gradients' norms; the next gradients overwrite these."""
        self._norms.clear()

    def save(self, path: Path) -> str:
        """Link the moments of all parameters to `path`; returns the sha256."""
        return self._moments.share(path)

    def write(
        self, tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
    ) -> str:
        """Link the weights to `path`, or write them if the checkpoint has other names, as that of a
        model with a separate head; returns the sha256.
        """
        if tensors.keys() == self.named.keys():
            return self._weights.share(path)
        return super().write(tensors, path, metadata)

    def load(self, path: Path, steps: int) -> None:
        """Restore the moments of a state after `steps` updates, of whichever kind of AdamW.

        Raises ShakegptError for a file that is damaged or of other parameters.
        """
        self._moments.adopt(path)
        self._steps = steps
