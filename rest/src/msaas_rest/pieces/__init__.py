"""What can be heard of a song while it is separated."""
