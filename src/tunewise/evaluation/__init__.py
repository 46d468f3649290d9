"""Evaluation on labelled scenarios: fitting, runs, baselines, reports. Needs the extra `eval`."""
