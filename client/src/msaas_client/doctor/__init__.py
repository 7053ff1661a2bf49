"""`msaas doctor`: checks a server, the engine of this machine and its weights."""
