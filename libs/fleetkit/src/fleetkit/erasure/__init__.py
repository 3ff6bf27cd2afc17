"""Erasure of a visitor or of a whole tenant: rows, blobs and what the bus keeps.

The gateway tells of it by `ErasureRequested`. Each service deletes by the rules of its
`erasure.py`, keeps tombstones, and answers with its own `ErasureCompleted`. When all of a tenant's
have answered, `ErasureFinished` makes each take its events off the bus.
"""

from fleetkit.erasure.eraser import Eraser
from fleetkit.erasure.handlers import erasing, finishing
from fleetkit.erasure.rules import Erasure, Table

__all__ = ["Eraser", "Erasure", "Table", "erasing", "finishing"]
