"""What became of the callbacks of a job."""
