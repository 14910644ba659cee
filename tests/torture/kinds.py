"""What is done to a usual run, done to the others: with less memory, with LoRA, with both."""

from __future__ import annotations

from tests.torture.disk import can_mount, small_disks
from tests.torture.kills import random_kills
from tests.torture.lab import Lab
from tests.torture.tally import Tally


def kinds(
    lab: Lab, tally: Tally, kills: int, disks: int, only: tuple[str, ...] | None = None
) -> None:
    """Of each kind, or of `only` those, `kills` at random moments and `disks` that fill up."""
    base: dict[str, object] = {"init_from": lab.folder / "unhurt", "lora_rank": 2}
    all_of_them: dict[str, dict[str, object]] = {
        "low": {"memory": "low"},
        "lowest": {"memory": "lowest"},
        "lora": base,
        "lora-low": base | {"memory": "low", "lora_dropout": 0.1},
    }
    for name, settings in all_of_them.items():
        if only is not None and name not in only:
            continue
        kind = lab.kind(f"unhurt-{name}", **settings)
        random_kills(lab, tally, kills, kind=kind)
        if disks and can_mount(lab.folder):
            small_disks(lab, tally, disks, kind)
