"""Figures from formulas and published sources: compute, memory, data, cost. Pure; no model takes part."""
