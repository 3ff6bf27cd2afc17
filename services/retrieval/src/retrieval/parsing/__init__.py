"""Bytes to text with structure. Pure; untrusted bytes reach it only inside `worker`."""
