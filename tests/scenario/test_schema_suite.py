"""Treadle's JSON Schema against the public JSON Schema test suite.

Treadle speaks 2020-12, whose vectors stand in tests/json-schema-suite. Those up to draft 7 come with Debian's package
json-schema-test-suite; of them, vectors that mean the same in both must be answered as the suite says. What differs is
listed here with the reason, and must be answered as listed: a vector that is listed but answered as the suite says is
an error too, so the lists cannot grow stale.

Treadle fetches nothing. A schema that refers to documents elsewhere gets them as parts of itself, each with its address
as $id: what 2020-12 calls a bundled schema, and says has the same meaning.

TREADLE_SCHEMA_SUITE  another directory of vectors, such as tests/v1 of the suite's repository: the differences are
                      then only printed
"""
import collections
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.parse

import pytest

from conftest import program

PACKAGE = pathlib.Path("/usr/share/json-schema-test-suite")
SUITE = PACKAGE / "tests/draft7"
SCHEMAS = pathlib.Path("/usr/lib/python3/dist-packages/jsonschema/schemas")  # of python3-jsonschema
META = SCHEMAS / "draft7.json"
MODERN = pathlib.Path(__file__).resolve().parents[1] / "json-schema-suite/tests/draft2020-12"
LEAST = 538  # vectors that must be answered as the suite says, so that an empty directory cannot pass
LEAST_MODERN = 2203
ALL = "*"

PREFIX = "2020-12 writes a list of schemas for places as prefixItems; `items` with a list is refused, saying so"
SIBLING = "since 2019-09 keywords beside $ref count"
CONTENT = "since 2019-09 contentMediaType and contentEncoding are notes, they judge nothing"

# (file, group): (how Treadle answers, vectors by description, reason).
# "refused": the schema is refused, and with it every vector. "accepts", "violates": these vectors, against the suite.
DIFFERENT = {
    ("additionalItems.json", "additionalItems as schema"): ("refused", ALL, PREFIX),
    ("additionalItems.json", "array of items with no additionalItems"): ("refused", ALL, PREFIX),
    ("additionalItems.json", "additionalItems are allowed by default"): ("refused", ALL, PREFIX),
    ("items.json", "an array of schemas for items"): ("refused", ALL, PREFIX),
    ("items.json", "items with boolean schemas"): ("refused", ALL, PREFIX),
    ("ref.json", "relative pointer ref to array"): ("refused", ALL, PREFIX),
    ("ref.json", "ref overrides any sibling keywords"): ("violates", {"ref valid, maxItems ignored"}, SIBLING),
    ("optional/content.json", "validation of string-encoded content based on media type"): (
        "accepts", {"an invalid JSON document"}, CONTENT),
    ("optional/content.json", "validation of binary string-encoding"): (
        "accepts", {"an invalid base64 string (% is not a valid character)"}, CONTENT),
    ("optional/content.json", "validation of binary-encoded media type documents"): (
        "accepts", {"a validly-encoded invalid JSON document", "an invalid base64 string that is valid JSON"}, CONTENT),
}

FORMATS = "Treadle judges formats (docs/schema.md); by the letter of 2020-12 they are notes"
DIALECT = "Treadle has one dialect: $schema is a note"
LOOKBEHIND = "PCRE2 has no lookbehind of variable width"

# The same of 2020-12.
DIFFERENT_MODERN = {
    **{("format.json", f"{name} format"): ("violates", {f"invalid {name} string is only an annotation by default"},
                                           FORMATS)
       for name in ("email", "idn-email", "regex", "ipv4", "ipv6", "idn-hostname", "hostname", "date", "date-time",
                    "time", "json-pointer", "relative-json-pointer", "iri", "iri-reference", "uri", "uri-reference",
                    "uri-template", "uuid", "duration")},
    ("vocabulary.json", "schema that uses custom metaschema with with no validation vocabulary"): (
        "violates", {"no validation: invalid number, but it still validates"}, DIALECT),
    ("optional/cross-draft.json", "refs to historic drafts are processed as historic drafts"): (
        "refused", ALL, DIALECT),
    ("optional/format/ecmascript-regex.json", "ECMA 262 lookbehind is valid, including variable width"): (
        "violates", {"a variable-width lookbehind (ES2018)"}, LOOKBEHIND),
}

Vector = collections.namedtuple("Vector", "file group name valid answer said")


def ask(requests):
    """schema_check's answers to (kind, document) pairs: the first word, and what it says."""
    with tempfile.TemporaryFile() as questions:
        for kind, document in requests:
            data = json.dumps(document, ensure_ascii=False).encode()
            questions.write(b"%s %d\n" % (kind, len(data)) + data)
        questions.seek(0)
        done = subprocess.run([program("schema_check")], stdin=questions, capture_output=True, timeout=300)
    assert done.returncode == 0, f"schema_check ended with {done.returncode}: {done.stderr.decode()[-2000:]}"
    answers, at, out = [], 0, done.stdout
    while at < len(out):
        end = out.index(b"\n", at)
        word, _, said = out[at:end].decode().partition(" ")
        at = end + 1
        if word == "violates":
            size = int(said)
            said = out[at:at + size].decode()
            at += size + 1
        answers.append((word, said))
    assert len(answers) == len(requests)
    return answers


def elsewhere(directory):
    """The documents that vectors refer to, by address: those of their draft, and the schemas of schemas."""
    remotes = directory.parent.parent / "remotes"
    own = remotes / directory.name
    found = {f"http://localhost:1234/{path.relative_to(remotes)}": json.loads(path.read_text())
             for path in (own if own.is_dir() else remotes).rglob("*.json")}
    found["http://json-schema.org/draft-07/schema"] = json.loads(META.read_text())
    if own.is_dir():
        found["https://json-schema.org/draft/2020-12/schema"] = json.loads((SCHEMAS / "draft2020-12.json").read_text())
        found |= {address: schema for address, schema in json.loads((SCHEMAS / "vocabularies.json").read_text()).items()
                  if "/2020-12/" in address}
    return found


def bundled(schema, documents):
    """The schema with those documents in it that it refers to, itself or through them."""
    if not isinstance(schema, dict):
        return schema
    text, inside = json.dumps(schema), {}
    own = {part["$id"] for part in parts(schema) if isinstance(part.get("$id"), str)}
    size = -1
    while size != len(inside):
        size = len(inside)
        for address, document in documents.items():
            if address.rpartition("/")[2] in text and "$ref" in text and address not in {*inside, *own}:
                named = document.get("$id", address)
                inside[address] = {**document, "$id": named}
                if urllib.parse.urljoin(address, named).rstrip("#") != address:  # found there, but called otherwise
                    inside[address + "?"] = {"$id": address, "$ref": urllib.parse.urljoin(address, named)}
                text += json.dumps(document)
    return {**schema, "$defs": {**schema.get("$defs", {}), **inside}} if inside else schema


def parts(value):
    """Every object in a value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(part)


def modern(schema):
    """The same schema with prefixItems for a list under `items`, as 2020-12 writes it."""
    if isinstance(schema, list):
        return [modern(part) for part in schema]
    if not isinstance(schema, dict):
        return schema.replace("#/items/", "#/prefixItems/") if isinstance(schema, str) else schema
    old = isinstance(schema.get("items"), list)
    names = {"items": "prefixItems", "additionalItems": "items"} if old else {}
    return {names.get(key, key): modern(part) for key, part in schema.items() if old or key != "additionalItems"}


def vectors(directory, change=lambda schema: schema):
    """All vectors of a directory, answered: "accepts", "violates", "refused" (the schema), "error"."""
    requests, places, documents = [], [], elsewhere(directory)
    for path in sorted(directory.rglob("*.json")):
        for group in json.loads(path.read_text()):
            requests.append((b"schema", bundled(change(group["schema"]), documents)))
            places.append(None)
            for each in group["tests"]:
                requests.append((b"value", each["data"]))
                places.append((str(path.relative_to(directory)), group["description"], each["description"],
                               each["valid"]))
    refused = None
    for place, (word, said) in zip(places, ask(requests)):
        if not place:
            refused = said if word == "invalid" else None
        elif refused is not None:
            yield Vector(*place, "refused", refused)
        else:
            yield Vector(*place, "accepts" if word == "ok" else word, said)


def as_suite_says(vector):
    return vector.answer == ("accepts" if vector.valid else "violates")


def compare(answered, different, least):
    """Fails unless every vector is answered as the suite says, or as listed; prints how many of which file are."""
    judged, wrong, met, table = 0, [], set(), collections.defaultdict(collections.Counter)
    for vector in answered:
        answer, names, reason = different.get((vector.file, vector.group), (None, (), None))
        if answer and (names == ALL or vector.name in names):
            met.add((vector.file, vector.group))
            table[vector.file]["listed"] += 1
            if vector.answer != answer:
                wrong.append(f"{vector}: listed as {answer} ({reason})")
        elif as_suite_says(vector):
            judged += 1
            table[vector.file]["same"] += 1
        else:
            wrong.append(str(vector))
    assert not wrong, "\n".join(wrong)
    assert met == set(different), f"listed, but not in the suite: {set(different) - met}"
    assert judged >= least, f"only {judged} vectors"
    for file, counts in table.items():
        print(f"{file:45} {counts['same']:4} as the suite says, {counts['listed']:3} listed as different")
    print(f"JSON Schema test suite: {judged} vectors as the suite says, "
          f"{sum(counts['listed'] for counts in table.values())} listed as different, 0 others")


def test_suite():
    if not SUITE.is_dir():
        pytest.skip(f"{SUITE} is missing: install json-schema-test-suite")
    if not META.is_file():
        pytest.skip(f"{META} is missing: install python3-jsonschema")
    compare(vectors(SUITE), DIFFERENT, LEAST)


def test_modern_suite():
    if not META.is_file():
        pytest.skip(f"{META} is missing: install python3-jsonschema")
    compare(vectors(MODERN), DIFFERENT_MODERN, LEAST_MODERN)


def test_lists_of_items_in_their_new_spelling():
    if not SUITE.is_dir() or not META.is_file():
        pytest.skip(f"{SUITE} or {META} is missing")
    respelled = [v for v in vectors(SUITE, modern) if DIFFERENT.get((v.file, v.group), [None] * 3)[2] == PREFIX]
    assert len(respelled) >= 17
    assert not [v for v in respelled if not as_suite_says(v)]


def test_other_suite():
    directory = os.environ.get("TREADLE_SCHEMA_SUITE")
    if not directory:
        pytest.skip("TREADLE_SCHEMA_SUITE names no directory of vectors")
    answered = list(vectors(pathlib.Path(directory)))
    different = [v for v in answered if not as_suite_says(v)]
    for vector in different:
        print(vector)
    print(f"{len(answered) - len(different)} of {len(answered)} vectors as the suite says")
    assert answered and not [v for v in answered if v.answer == "error"]
