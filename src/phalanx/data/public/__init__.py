"""Readers of public sets as their authors distribute them, a file each."""
