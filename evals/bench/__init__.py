"""Benchmarks of speed: Tunewise beside the ways one would otherwise take."""
