"""IP addresses as text, in any of their spellings."""

import ipaddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str | None) -> IPAddress | None:
    """The address, an IPv4 one also where it comes inside IPv6; None for text that is not an address."""
    try:
        return without_mapping(ipaddress.ip_address(text or ""))
    except ValueError:
        return None


def without_mapping(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv4-mapped IPv6 one stands for (RFC 4291 §2.5.5.2); any other unchanged.

    A socket that listens on both names an IPv4 peer in this way.
    """
    return (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip


def line_of(ip: IPAddress) -> IPAddress | ipaddress.IPv6Network:
    """The addresses of one line: an IPv4 address, or an IPv6 /64."""
    return ip if ip.version == 4 else ipaddress.IPv6Network((ip, 64), strict=False)


def address_key(text: str | None) -> str:
    """The key that limits count an address under: that of its line (`line_of`), or `unknown`."""
    ip = read_address(text)
    return str(line_of(ip)) if ip else "unknown"
