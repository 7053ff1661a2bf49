"""Webhook delivery: dispatcher, sender, SSRF guard, signing."""
