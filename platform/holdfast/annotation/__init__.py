"""Ask, then collect."""
