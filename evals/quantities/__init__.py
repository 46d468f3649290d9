"""Quantities as people write them, against what is read."""
