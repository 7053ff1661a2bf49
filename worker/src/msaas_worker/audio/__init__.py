"""Audio files: decoding in a limited child process, resampling, encoding, fragments."""
