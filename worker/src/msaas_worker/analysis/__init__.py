"""Analysis of a song while it is separated: loudness, key, tempo and beats. Knows no queue and no store."""
