"""Conversations that correct, add, suppose and contradict, scored by the sheet after the last turn."""
