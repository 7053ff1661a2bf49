"""HTTP concerns shared by all APIs: server, uploads, guards, limits, problems."""
