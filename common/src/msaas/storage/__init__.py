"""Object storage: the protocol, its adapters, and the song store on top of it."""
