"""The animated QR code: its text for a given second, and that text as SVG."""

import hmac
from functools import cache
from hashlib import sha256

from qrcode import QRCode, base
from qrcode.constants import ERROR_CORRECT_M

# Fixed, so that the image keeps its size while it changes: version 7 at level M holds 122 characters, a
# payload has 110 to 112. Mask 2 has the lowest average penalty for such payloads.
VERSION, LEVEL, MASK = 7, ERROR_CORRECT_M, 2
SIZE = 4 * VERSION + 17
QUIET_ZONE = 4
ROW_BYTES = 6  # a row of 45 modules, filled up with light ones to whole bytes
BLOCKS = base.rs_blocks(VERSION, LEVEL)
DATA_PER_BLOCK: int = BLOCKS[0].data_count
CHECKS_PER_BLOCK: int = BLOCKS[0].total_count - DATA_PER_BLOCK
DATA_CODEWORDS = len(BLOCKS) * DATA_PER_BLOCK
CODEWORDS = DATA_CODEWORDS + len(BLOCKS) * CHECKS_PER_BLOCK
MAX_LENGTH = DATA_CODEWORDS - 2  # mode and length take 12 bits, the terminator 4


def qr_payload(start_token: str, start_secret: str, elapsed: int) -> str:
    """The QR text `elapsed` whole seconds (floored) after BankID answered the order (BankID RP guide, QR)."""
    code = hmac.new(start_secret.encode(), str(elapsed).encode(), sha256).hexdigest()
    return f"bankid.{start_token}.{elapsed}.{code}"


def qr_svg(payload: str) -> str:
    """`payload` as an SVG image: dark on white, with a quiet zone of 4; the page decides its size.

    Drawing a symbol with the library takes 1.5 ms, too much for every poll of every page. With version and
    mask fixed, each bit of the text inverts a fixed set of modules, because QR's Reed-Solomon code and mask
    are linear (ISO/IEC 18004 §7.5, §7.8). So a frame is the XOR of the modules that its bytes invert; the
    library draws the symbols that these sets are computed from, once. Raises `ValueError` for a text that
    is too long or not ASCII.
    """
    modules = _blank()
    for place, byte in enumerate(_data(payload)):
        modules ^= _turned_by_byte(place, byte)
    rows = modules.to_bytes(SIZE * ROW_BYTES, "big")
    path = "".join(
        f"M{QUIET_ZONE} {QUIET_ZONE + y}.5" + "".join([STROKES[byte] for byte in rows[at : at + ROW_BYTES]])
        for y, at in enumerate(range(0, len(rows), ROW_BYTES))
    )
    side = SIZE + 2 * QUIET_ZONE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path stroke="#000" d="{path}"/></svg>'
    )


def _data(payload: str) -> bytes:
    """The data codewords: byte mode, length, text, terminator, padding (ISO/IEC 18004 §7.4)."""
    text = payload.encode("ascii")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a QR text must have at most {MAX_LENGTH} characters, not {len(text)}")
    bits = (0b0100 << 8 | len(text)) << 8 * len(text) | int.from_bytes(text, "big")
    filled = (bits << 4).to_bytes(len(text) + 2, "big")
    return filled + (b"\xec\x11" * DATA_CODEWORDS)[: DATA_CODEWORDS - len(filled)]


def _stroke(byte: int) -> str:
    """Path commands for eight modules in a row: `h` draws dark ones, `m` passes light ones."""
    commands, dark, length = "", True, 0
    for bit in f"{byte:08b}":
        if (bit == "1") != dark:
            commands += _command(dark, length)
            dark, length = not dark, 0
        length += 1
    return commands + _command(dark, length)


def _command(dark: bool, length: int) -> str:
    if not length:
        return ""
    return f"h{length}" if dark else f"m{length} 0"


STROKES = [_stroke(byte) for byte in range(256)]


def _draw(codewords: bytes) -> int:
    """The library's symbol of finished codewords; a module is one bit, a row `ROW_BYTES` bytes."""
    code = QRCode(version=VERSION, error_correction=LEVEL, mask_pattern=MASK)
    code.data_cache = list(codewords)
    code.makeImpl(False, MASK)
    light = "0" * (8 * ROW_BYTES - SIZE)
    return int("".join("".join("01"[bool(dark)] for dark in row) + light for row in code.modules), 2)


@cache
def _blank() -> int:
    """The symbol whose codewords are all zero: every frame starts from it."""
    return _draw(bytes(CODEWORDS))


@cache
def _turned_by_bit() -> list[int]:
    """For each bit of the codewords, the one module that shows it.

    Found in 11 drawings: in drawing d every bit is set whose number, counted from 1, has digit d set.
    The digits that a module shows then spell the number of its bit.
    """
    count = 8 * CODEWORDS
    digits = []
    for digit in range(count.bit_length()):
        chosen = "".join(str(number >> digit & 1) for number in range(1, count + 1))
        digits.append(_blank() ^ _draw(int(chosen, 2).to_bytes(CODEWORDS, "big")))
    turned = [0] * (count + 1)
    for module in range(8 * SIZE * ROW_BYTES):
        number = sum((drawn >> module & 1) << digit for digit, drawn in enumerate(digits))
        turned[number] |= 1 << module
    return turned[1:]


@cache
def _checks(place: int) -> list[int]:
    """The check codewords of a block that is zero but for a 1 at `place` (ISO/IEC 18004 §7.5)."""
    generator = base.Polynomial([1], 0)
    for power in range(CHECKS_PER_BLOCK):
        generator = generator * base.Polynomial([1, base.gexp(power)], 0)
    unit = base.Polynomial([1], CHECKS_PER_BLOCK + DATA_PER_BLOCK - 1 - place)
    rest = unit % generator
    return [0] * (CHECKS_PER_BLOCK - len(rest)) + [rest[n] for n in range(len(rest))]


@cache
def _turned_by_byte(place: int, byte: int) -> int:
    """The modules that the data codeword at `place` turns when it is `byte`: its own and its checks'."""
    block, within = divmod(place, DATA_PER_BLOCK)
    modules = _turned_by_codeword(within * len(BLOCKS) + block, byte)
    for number, check in enumerate(_checks(within)):
        product = base.gexp(base.glog(byte) + base.glog(check)) if byte and check else 0
        modules ^= _turned_by_codeword(DATA_CODEWORDS + number * len(BLOCKS) + block, product)
    return modules


def _turned_by_codeword(place: int, byte: int) -> int:
    """The modules that one codeword turns; blocks are interleaved, `place` counts after that."""
    modules = 0
    for bit in range(8):
        if byte >> 7 - bit & 1:
            modules ^= _turned_by_bit()[8 * place + bit]
    return modules
