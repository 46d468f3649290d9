"""The chat page: `tunewise ui`."""
