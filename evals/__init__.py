"""Evaluation: scenarios, benchmarks, notes."""
