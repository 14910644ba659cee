"""Several processes that train one model: torchrun, DDP, FSDP2."""
