"""Learn without forgetting."""
