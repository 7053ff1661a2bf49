"""The command `msaas`."""
