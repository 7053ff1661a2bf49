"""Webhook headers as Standard Webhooks defines them: one id over all attempts, and a signature."""

from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook


def sign(delivery_id: str, body: bytes, *, secret: str | None) -> dict[str, str]:
    """Return the headers of one attempt. Without a secret there is no signature."""
    now = datetime.now(UTC)
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(int(now.timestamp()))}
    if secret is None:
        return headers
    return {**headers, "webhook-signature": Webhook(secret).sign(delivery_id, now, body.decode())}
