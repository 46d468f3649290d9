"""Questions to be answered by a formula, and others that look alike."""
