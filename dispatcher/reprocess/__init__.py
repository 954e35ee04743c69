"""Copies the events of an older installation, through everything that a POST goes through, into this one."""
