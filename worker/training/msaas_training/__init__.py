"""A generator of multitrack music, and the training of the `starter` model on it."""
