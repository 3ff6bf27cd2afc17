"""Faults run for real: processes killed, disks filled, links cut."""
