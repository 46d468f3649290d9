"""Retrieval measured against graded judgements: `python -m evals.retrieval`."""
