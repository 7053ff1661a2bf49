"""Generates multitrack songs and trains the `starter` model on them."""
