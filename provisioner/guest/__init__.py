"""Nodes over SSH, and through them the inside of containers; the one home of asyncssh."""
