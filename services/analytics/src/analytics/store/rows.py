"""Rows as JSON, so that one statement writes however many."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from psycopg.types.json import Jsonb

# Ids and times as their texts.
_dumps = json.JSONEncoder(default=str).encode


def as_json(rows: Sequence[Any]) -> Jsonb:
    """Row dataclasses as an array of objects, for `jsonb_populate_recordset`."""
    return Jsonb([asdict(row) for row in rows], _dumps)
