"""Containers: the second kind of guest, with words and habits of its own."""
