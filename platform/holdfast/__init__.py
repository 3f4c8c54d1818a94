"""Holdfast keeps an image classifier learning while its world moves."""
