"""Lists of networks in settings."""

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read CIDRs with commas between; `1` is every network, `0` none. Raises `ValueError`."""
    if text.strip() in {"", "0"}:
        return ()
    names = "0.0.0.0/0,::/0" if text.strip() == "1" else text
    try:
        return tuple(ip_network(name.strip(), strict=False) for name in names.split(","))
    except ValueError:
        raise ValueError("Input should be a list of networks such as 10.0.0.0/8, or 1 or 0") from None
