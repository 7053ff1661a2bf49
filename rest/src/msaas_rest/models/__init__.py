"""The models a client can ask for."""
