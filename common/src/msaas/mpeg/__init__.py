"""MPEG audio files (MP3 and its relatives) as streams of frames, read as players read them."""
