"""How well search finds, measured on labelled sets that are not part of this repository."""
