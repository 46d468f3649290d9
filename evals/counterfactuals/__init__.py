"""Changes that are said to turn a verdict, against reading the changed situation again."""
