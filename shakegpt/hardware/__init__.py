"""Devices, memory and the allocator."""
