"""Guessed keys, and requests that a browser sends for a foreign page."""

from collections import Counter

from bench.attacks.target import SONG_ID, Attack, Target

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def guess_keys(target: Target) -> str:
    statuses = Counter(
        target.get("/apiv1/queue", Authorization=f"Bearer guess-{number:016}").status_code
        for number in range(60)
    )
    return f"{dict(statuses)}"


def show_an_image(target: Target) -> str:
    """A browser sends neither Sec-Fetch-Site nor Origin for an image of another site over plain HTTP."""
    answer = target.get(f"/apiv1/remove/{SONG_ID}/vocals", **{"User-Agent": _BROWSER})
    return f"{answer.status_code}"


ATTACKS = (
    Attack(
        row=8,
        damage="60 wrong keys, `RATE_LIMIT=10/minute`",
        run=guess_keys,
        environment={"API_KEYS": "a-key-of-the-operator", "RATE_LIMIT": "10/minute"},
    ),
    Attack(row=9, damage="an image without referrer removes a stem", run=show_an_image),
)
