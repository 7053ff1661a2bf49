"""A song comes in and becomes a job."""
