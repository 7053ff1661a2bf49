"""What a receiver trusts a callback by (Standard Webhooks): one id over all attempts, and a signature."""

from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook


def headers(delivery_id: str, body: bytes, *, secret: str | None) -> dict[str, str]:
    """Return the headers of one attempt; without a secret there is no signature."""
    now = datetime.now(UTC)
    named = {"webhook-id": delivery_id, "webhook-timestamp": str(int(now.timestamp()))}
    if secret is None:
        return named
    return {**named, "webhook-signature": Webhook(secret).sign(delivery_id, now, body.decode())}
