"""What whoever watches over the service asks."""
