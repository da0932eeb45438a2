"""The animated QR code is the published one, drawn as the library does, and readable."""

import re
from hashlib import sha256
from xml.etree import ElementTree

import pytest
import zxingcpp
from qrcode import QRCode
from qrcode.constants import ERROR_CORRECT_M
from qrcode.util import MODE_8BIT_BYTE, QRData

from idp.bankid.qr import MASK, SIZE, VERSION, qr_payload, qr_svg

TOKEN = "67df3917-fa0d-44e5-b327-edcc928297f8"
SECRET = "d28db9a7-4cde-429e-a983-359be676944c"
SIDE = SIZE + 8
PIXELS = 200


@pytest.mark.parametrize(
    ("elapsed", "code"),
    [
        (0, "dc69358e712458a66a7525beef148ae8526b1c71610eff2c16cdffb4cdac9bf8"),
        (1, "949d559bf23403952a94d103e67743126381eda00f0b3cbddbf7c96b1adcbce2"),
        (2, "a9e5ec59cb4eee4ef4117150abc58fad7a85439a6a96ccbecc3668b41795b3f3"),
        (10, "2822ca616ce1e64a1c171df69154ebc5adef4011244c867d6ad88a02db178962"),
        (29, "26049f2bc12d5b43ebe8bf701e7725abf015d2d8347aa04c924b5793ee4a196c"),
        (30, "814d7fd38e2276625b6815152e3554c663acca689260c092203b48ca4e5c09a3"),
    ],
)
def test_the_published_vectors(elapsed: int, code: str) -> None:
    assert qr_payload(TOKEN, SECRET, elapsed) == f"bankid.{TOKEN}.{elapsed}.{code}"


def drawn(svg: str) -> list[list[bool]]:
    """The modules of an image, quiet zone included: its path followed as SVG prescribes."""
    root = ElementTree.fromstring(svg)
    background, strokes = root.findall("{http://www.w3.org/2000/svg}path")
    assert root.get("viewBox") == f"0 0 {SIDE} {SIDE}"
    assert (background.get("fill"), background.get("d")) == ("#fff", f"M0 0h{SIDE}v{SIDE}H0z")
    assert strokes.get("stroke") == "#000"
    modules = [[False] * SIDE for _ in range(SIDE)]
    x = y = 0
    path = strokes.get("d") or ""
    commands = list(re.finditer(r"M(\d+) (\d+)\.5|m(\d+) 0|h(\d+)", path))
    assert "".join(found[0] for found in commands) == path
    for found in commands:
        if found[1]:
            x, y = int(found[1]), int(found[2])
        elif found[3]:
            x += int(found[3])
        else:
            for _ in range(int(found[4])):
                modules[y][x] = True
                x += 1
    return modules


def expected(payload: str) -> list[list[bool]]:
    """The same drawn whole by the library."""
    code = QRCode(version=VERSION, error_correction=ERROR_CORRECT_M, mask_pattern=MASK, border=4)
    code.add_data(QRData(payload.encode(), mode=MODE_8BIT_BYTE))
    code.make(fit=False)
    return [[bool(module) for module in row] for row in code.get_matrix()]


def payloads() -> list[str]:
    """300 seconds of an order, each with tokens of its own."""
    found = []
    for elapsed in range(300):
        digits = sha256(str(elapsed).encode()).hexdigest()
        token = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
        found.append(qr_payload(token, digits[32:], elapsed))
    return found


def image(svg: str) -> memoryview:
    """The image as a browser shows it in 200 × 200 pixels."""
    of_pixel = [pixel * SIDE // PIXELS for pixel in range(PIXELS)]
    lines = [bytes(0 if row[x] else 255 for x in of_pixel) for row in drawn(svg)]
    return memoryview(b"".join(lines[y] for y in of_pixel)).cast("B", shape=[PIXELS, PIXELS])


def test_every_frame_is_the_one_the_library_draws() -> None:
    for payload in payloads()[::5]:
        assert drawn(qr_svg(payload)) == expected(payload)


@pytest.mark.parametrize("payload", ["", "a", "~" * 122, "\x00\x7f" * 61, "bankid." * 17, "0123456789"])
def test_any_text_is_drawn_as_the_library_does(payload: str) -> None:
    assert drawn(qr_svg(payload)) == expected(payload)


def test_a_reader_reads_every_second_of_five_minutes_at_200_pixels() -> None:
    for payload in payloads():
        read = zxingcpp.read_barcode(image(qr_svg(payload)))
        assert read is not None
        assert read.format == zxingcpp.BarcodeFormat.QRCode
        assert read.text == payload


def test_the_image_has_a_quiet_zone_and_keeps_its_size() -> None:
    for elapsed in (0, 9, 10, 99, 100, 999):
        modules = drawn(qr_svg(qr_payload(TOKEN, SECRET, elapsed)))
        edge = [*modules[:4], *modules[-4:]]
        assert not any(any(row) for row in edge)
        assert not any(any(row[:4]) or any(row[-4:]) for row in modules)
        assert modules[4][4:11] == [True] * 7


@pytest.mark.parametrize(("length", "fits"), [(122, True), (123, False)])
def test_the_longest_text(length: int, fits: bool) -> None:
    if fits:
        assert "<svg" in qr_svg("x" * length)
    else:
        with pytest.raises(ValueError, match="at most 122 characters"):
            qr_svg("x" * length)


def test_a_text_beyond_ascii_is_refused() -> None:
    payload = qr_payload(TOKEN, SECRET, 0)
    assert qr_svg(payload)
    with pytest.raises(ValueError, match="ascii"):
        qr_svg(payload.replace("bankid", "bänkid"))
