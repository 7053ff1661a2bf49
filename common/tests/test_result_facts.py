"""Facts about the result of a worker without a store, as headers."""

import pytest

from msaas.result_facts import UNKNOWN, ResultFacts

FACTS = ResultFacts(model="mdx_extra", weights_sha256="0a" * 32, engine="demucs 4.1")


def test_headers_are_read_back() -> None:
    assert ResultFacts.of(FACTS.headers()) == FACTS


def test_missing_headers_are_unknown_facts() -> None:
    assert ResultFacts.of({}) == ResultFacts(model=UNKNOWN)


@pytest.mark.parametrize(
    ("headers", "facts"),
    [
        ({"Msaas-Model": "mdx_extra_q"}, ResultFacts(model="mdx_extra")),
        ({"Msaas-Model": "../evil"}, ResultFacts()),
        ({"Msaas-Weights-Sha256": "0A" * 32}, ResultFacts()),
        ({"Msaas-Weights-Sha256": "0a" * 31}, ResultFacts()),
        ({"Msaas-Engine": "a\nb"}, ResultFacts(engine="a\\nb")),
        ({"Msaas-Engine": "x" * 200}, ResultFacts(engine="x" * 99 + "…")),
    ],
)
def test_values_from_outside_are_parsed(headers: dict[str, str], facts: ResultFacts) -> None:
    assert ResultFacts.of(headers) == facts
