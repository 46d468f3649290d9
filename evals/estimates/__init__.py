"""Figures from formulas against published runs."""
