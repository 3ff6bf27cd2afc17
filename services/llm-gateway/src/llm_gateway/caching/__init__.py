"""Deciding what of a prompt its provider shall keep, and telling what that brought."""
