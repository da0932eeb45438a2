"""Random values and the forms they are stored and compared in."""

import re

from idp.tokens import base64url, new_token, s256_challenge, sha256_hex


def test_a_token_holds_256_bits_in_url_safe_letters() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_sha256_of_the_standards_example() -> None:
    """FIPS 180-2 appendix B.1."""
    assert sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_challenge_of_the_rfcs_example() -> None:
    """RFC 7636 appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert s256_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_base64url_of_the_rfcs_example() -> None:
    """RFC 7515 appendix C."""
    assert base64url(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"
    assert base64url(b"") == ""
