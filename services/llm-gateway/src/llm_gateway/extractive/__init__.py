"""Answers made of the best sentences of the best passages, each cited, or none at all."""
