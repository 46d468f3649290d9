"""Dialogues that begin vaguely, played to see after how many questions the verdict is right."""
