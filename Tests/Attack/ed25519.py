"""Ed25519 signatures, written from RFC 8032 section 5.1: slow, plain, and good enough to forge tokens for tests."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _hash(data):
    return hashlib.sha512(data).digest()


def _add(a, b):
    """The sum of two points in extended homogeneous coordinates (section 5.1.4)."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    left, right = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = right - left, d - c, d + c, right + left
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    sum_ = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            sum_ = _add(sum_, point)
        point = _add(point, point)
        scalar >>= 1
    return sum_


def _x(y, sign):
    """The x of a point with this y (section 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    return P - x if x & 1 != sign else x


_BASE_Y = 4 * pow(5, P - 2, P) % P
_BASE_X = _x(_BASE_Y, 0)
BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)


def _compress(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return ((y * inverse % P) | ((x * inverse % P) & 1) << 255).to_bytes(32, "little")


def _expand(secret):
    digest = _hash(secret)
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def public_key(secret):
    """The 32 bytes of the public key of 32 secret bytes."""
    return _compress(_times(_expand(secret)[0], BASE))


def sign(secret, message):
    """The 64 bytes of the signature of a message."""
    scalar, prefix = _expand(secret)
    public = _compress(_times(scalar, BASE))
    r = int.from_bytes(_hash(prefix + message), "little") % L
    commitment = _compress(_times(r, BASE))
    challenge = int.from_bytes(_hash(commitment + public + message), "little") % L
    return commitment + ((r + challenge * scalar) % L).to_bytes(32, "little")
