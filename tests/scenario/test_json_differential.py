"""Treadle's JSON against Python's: the same documents accepted, the same values, the same text for doubles.

TREADLE_JSON_DOCS     random documents, valid ones and mutated ones (default 2000; the long campaign uses 100000)
TREADLE_JSON_DOUBLES  random doubles (default 20000; the long campaign uses 1000000)
TREADLE_JSON_SEED     a seed that a failure printed

Known differences, all on purpose: Treadle refuses lone surrogates (they are no Unicode text), numbers that overflow to
infinity, and more than 128 levels. Each is expected exactly where Python's value shows it.
"""
import decimal
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

from conftest import program

DOCS = int(os.environ.get("TREADLE_JSON_DOCS", "2000"))
DOUBLES = int(os.environ.get("TREADLE_JSON_DOUBLES", "20000"))
MAX_DEPTH = 128
REFUSED = object()

if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)


def seeded(name):
    seed = int(os.environ.get("TREADLE_JSON_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{name}: TREADLE_JSON_SEED={seed}")
    return random.Random(seed)


def ask(requests):
    """The answers of json_check to (kind, bytes) pairs: text, or REFUSED."""
    with tempfile.TemporaryFile() as questions:
        for kind, data in requests:
            questions.write(b"%s %d\n" % (kind, len(data)) + data)
        questions.seek(0)
        done = subprocess.run([program("json_check")], stdin=questions, capture_output=True, timeout=3600)
    assert done.returncode == 0, f"json_check ended with {done.returncode}: {done.stderr.decode()[-2000:]}"
    answers, at, out = [], 0, done.stdout
    while at < len(out):
        end = out.index(b"\n", at)
        head = out[at:end]
        at = end + 1
        if head.startswith(b"ok "):
            size = int(head[3:])
            answers.append(out[at:at + size].decode("utf-8"))
            at += size + 1
        else:
            assert head.startswith(b"error "), head
            answers.append(REFUSED)
    assert len(answers) == len(requests)
    return answers


# ---- what Python says ----

class Unacceptable(ValueError):
    pass


def refuse(*_):
    raise Unacceptable


def has_surrogate(text):
    return any("\ud800" <= c <= "\udfff" for c in text)


def finite(text):
    value = float(text)
    return value if math.isfinite(value) else refuse()


def check_tree(value, depth=0):
    """Refuses what only Treadle refuses. Duplicate keys were seen by `pairs` already."""
    if isinstance(value, str):
        if has_surrogate(value):
            refuse()
    elif isinstance(value, (list, dict)):
        if depth >= MAX_DEPTH:
            refuse()
        for child in value.values() if isinstance(value, dict) else value:
            check_tree(child, depth + 1)


def pairs(items):
    for key, value in items:
        check_tree(key)
        check_tree(value)
    return dict(items)


def expected(document):
    try:
        value = json.loads(document.decode("utf-8"), parse_constant=refuse, parse_float=finite, object_pairs_hook=pairs)
        check_tree(value)
    except ValueError:  # JSONDecodeError, UnicodeDecodeError, Unacceptable
        return REFUSED
    return json.dumps(value, ensure_ascii=False)


# ---- documents ----

TEXTS = ["", "a", "key", "\"", "\\", "/", "\b\f\n\r\t", "\0", "\x1f", "\x7f", "é", "ß", "漢字", "😀", "\u2028", "\uffff",
         "\U0010ffff", "plain words of some length, longer than a machine word", "C:\\dir\\\"x\"", "{{ a }}", "null"]


def random_text(rng):
    return "".join(rng.choice(TEXTS) for _ in range(rng.randrange(4)))


def encoded(rng, text):
    """The text as JSON, each character in one of its spellings."""
    out = ['"']
    for c in text:
        style = rng.random()
        if style < 0.15:
            units = c.encode("utf-16-be")
            form = "\\u%04x" if rng.random() < 0.5 else "\\u%04X"
            out += [form % int.from_bytes(units[i:i + 2], "big") for i in range(0, len(units), 2)]
        elif c == "/" and style < 0.5:
            out.append("\\/")
        else:
            out.append(json.dumps(c, ensure_ascii=False)[1:-1])
    if rng.random() < 0.01:
        out.append(rng.choice(["\\ud800", "\\udc00", "\\ud83dx", "\\ud83d\\u0041", "\\udbff\\udbff", "\\ud83d\\ue000"]))
    return "".join(out) + '"'


def digits(rng, most):
    return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, most + 1)))


def random_number(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice(["0", "-0", "-0.0", "0e5", "-0E-7", "1", "-1", "9223372036854775807", "9223372036854775808",
                           "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e22", "1e23",
                           "9007199254740993", "9007199254740993.0", "4.9e-324", "2.4703282292062327e-324",
                           "2.4703282292062328e-324", "1.7976931348623157e308", "1.7976931348623159e308", "1e400",
                           "1e-400", "0.1e1", "123456789012345678901234567890", "2.2250738585072011e-308",
                           "1e0000000000000000000000001", "1E+5", "1e99999999999999999999", "0e99999999999999999999"])
    if kind < 3:
        return str(rng.randrange(-(1 << rng.randrange(1, 70)), 1 << rng.randrange(1, 70)))
    if kind == 3:
        return repr(struct.unpack("<d", struct.pack("<Q", rng.getrandbits(63) % (2047 << 52)))[0])
    sign, whole = rng.choice(["", "-"]), str(int(digits(rng, 25)))
    fraction = "." + digits(rng, 40 if kind == 4 else 6) if rng.random() < 0.7 else ""
    exponent = rng.choice("eE") + rng.choice(["", "+", "-"]) + digits(rng, 3) if rng.random() < 0.4 else ""
    return sign + whole + fraction + exponent


def space(rng):
    return rng.choice(["", "", "", " ", "\n", "\t", "\r\n", "  "])


def random_value(rng, depth):
    kind = rng.randrange(10 if depth else 6)
    if kind < 2:
        return encoded(rng, random_text(rng))
    if kind < 5:
        return random_number(rng)
    if kind == 5:
        return rng.choice(["null", "true", "false", "[]", "{}", "[ ]", "{\n}"])
    count = rng.choice([0, 1, 2, 3, 5, 40]) if depth > 2 else rng.randrange(4)
    comma = lambda: space(rng) + "," + space(rng)
    if kind < 8:
        return "[" + space(rng) + comma().join(random_value(rng, depth - 1) for _ in range(count)) + space(rng) + "]"
    members = []
    for i in range(count):
        key = encoded(rng, random_text(rng) if rng.random() < 0.7 else f"k{rng.randrange(count)}")
        members.append(key + space(rng) + ":" + space(rng) + random_value(rng, depth - 1))
    return "{" + space(rng) + comma().join(members) + space(rng) + "}"


WRONG = [b"NaN", b"Infinity", b"-Infinity", b"//", b"/* */", b"'", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80",
         b"\xf4\x90\x80\x80", b"\xc3", b"0x1", b"01", b"1.", b".5", b"+1", b"\\u12", b"\\x41", b"\xc2\xa0", b"\x0b",
         b"\x0c", b",,", b"True", b"nul"]


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            data[at:at + 1] = b""
        elif kind == 1:
            data[at:at] = bytes([rng.randrange(256)])
        elif kind == 2:
            data[at:at + 1] = bytes([rng.choice(b'"\\{}[],:0123456789+-.eEtfnu \n\t\0\x1f\x7f')])
        elif kind == 3:
            data[at:at + rng.randrange(8)] = b""
        elif kind == 4:
            data[at:at] = rng.choice(WRONG)
        elif kind == 5:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start:start + rng.randrange(20)]
        else:
            del data[at:]
    return bytes(data)


def deep(rng):
    n = rng.choice([1, 2, 127, 128, 129, 200])
    core = rng.choice(["", "1", "{}", "[]"])
    if rng.random() < 0.5:
        return ("[" * n + core + "]" * n).encode()
    return ('{"a":' * n + (core or "null") + "}" * n).encode()


def random_document(rng):
    if rng.random() < 0.01:
        return deep(rng)
    text = space(rng) + random_value(rng, rng.randrange(5)) + space(rng)
    data = text.encode("utf-8", "surrogatepass")
    return mutated(rng, data) if rng.random() < 0.5 else data


def test_documents_agree():
    rng = seeded("documents")
    documents = [random_document(rng) for _ in range(DOCS)]
    accepted = 0
    for document, ours in zip(documents, ask([(b"doc", d) for d in documents])):
        theirs = expected(document)
        assert ours is theirs or ours == theirs, f"document {document!r}\nours   {ours!r}\nPython {theirs!r}"
        accepted += theirs is not REFUSED
    print(f"documents: {DOCS} agree, {accepted} accepted, {DOCS - accepted} refused")
    assert DOCS * 0.2 < accepted < DOCS * 0.9, "the generator does not try both sides"


# ---- doubles ----

def from_bits(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def interesting_bits():
    for exponent in range(2047):  # every power of two and its neighbours
        yield from ((exponent << 52) + delta for delta in (-1, 0, 1) if exponent or delta >= 0)
    for shift in range(52):  # denormals
        yield 1 << shift
        yield (1 << shift) - 1
    for n in range(-324, 309):  # what powers of ten read as, and their neighbours
        bits = struct.unpack("<Q", struct.pack("<d", float(f"1e{n}")))[0]
        yield from (b for b in (bits - 1, bits, bits + 1) if 0 <= b < 2047 << 52)


def random_bits(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return struct.unpack("<Q", struct.pack("<d", rng.randrange(1 << 60) / 10 ** rng.randrange(25)))[0]
    if kind == 1:
        return rng.getrandbits(52)  # denormal
    return rng.getrandbits(1) << 63 | rng.randrange(2047 << 52)


def test_double_text_is_repr():
    rng = seeded("doubles")
    bits = list(interesting_bits())
    bits += [random_bits(rng) for _ in range(DOUBLES)]
    for b, ours in zip(bits, ask([(b"hex", b"%016x" % b) for b in bits])):
        assert ours == repr(from_bits(b)), f"bits {b:016x}: ours {ours}, repr {from_bits(b)!r}"
    print(f"doubles: {len(bits)} texts equal repr")


def decimal_text(rng):
    """A decimal near or exactly on the middle between two doubles, or with more digits than needed."""
    low = from_bits(rng.randrange(2046 << 52))
    high = math.nextafter(low, math.inf)
    with decimal.localcontext() as context:
        context.prec = 800
        middle = (decimal.Decimal(low) + decimal.Decimal(high)) / 2
        kind = rng.randrange(4)
        if kind == 0:
            return f"{middle:e}"
        if kind == 1 and "." in f"{middle:e}":
            return f"{middle:e}".replace("e", rng.choice(["0000000001e", "1e", "9e"]))
        context.prec = rng.randrange(15, 25)
        return f"{+middle:e}" if kind < 3 else f"{+decimal.Decimal(low):e}"


def test_decimals_read_alike():
    rng = seeded("decimals")
    texts = [decimal_text(rng) for _ in range(max(DOUBLES // 10, 1000))]
    rows = [texts[i:i + 100] for i in range(0, len(texts), 100)]
    documents = [("[" + ",".join(row) + "]").encode() for row in rows]
    for row, document, ours in zip(rows, documents, ask([(b"doc", d) for d in documents])):
        theirs = expected(document)
        if ours != theirs:
            wrong = [t for t, a, b in zip(row, json.loads(ours), json.loads(theirs)) if a != b]
            raise AssertionError(f"read differently: {wrong[:3]}")
    print(f"decimals: {len(texts)} read as float() does")
