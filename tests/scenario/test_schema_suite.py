"""Treadle's JSON Schema against the public JSON Schema test suite (Debian's package json-schema-test-suite).

The package has the vectors up to draft 7; Treadle speaks 2020-12. Vectors that mean the same in both must be answered
as the suite says. The others are listed here with the reason, and must be answered as listed: a vector that is listed
but answered as the suite says is an error too, so the list cannot grow stale.

TREADLE_SCHEMA_SUITE  another directory of vectors, such as tests/draft2020-12 of the suite's repository: the
                      differences are then only printed
"""
import collections
import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from conftest import program

SUITE = pathlib.Path("/usr/share/json-schema-test-suite/tests/draft7")
LEAST = 480  # vectors that must be answered as the suite says, so that an empty directory cannot pass
ALL = "*"

PREFIX = "2020-12 writes a list of schemas for places as prefixItems; `items` with a list is refused, saying so"
REMOTE = "references that leave the schema are refused: nothing is ever fetched"
SIBLING = "since 2019-09 keywords beside $ref count"
CONTENT = "since 2019-09 contentMediaType and contentEncoding are notes, they judge nothing"
FORMAT = "this format is not judged (docs/schema.md lists those that are)"

# (file, group): (how Treadle answers, vectors by description, reason).
# "refused": the schema is refused, and with it every vector. "accepts", "violates": these vectors, against the suite.
DIFFERENT = {
    ("additionalItems.json", "additionalItems as schema"): ("refused", ALL, PREFIX),
    ("additionalItems.json", "array of items with no additionalItems"): ("refused", ALL, PREFIX),
    ("additionalItems.json", "additionalItems are allowed by default"): ("refused", ALL, PREFIX),
    ("items.json", "an array of schemas for items"): ("refused", ALL, PREFIX),
    ("items.json", "items with boolean schemas"): ("refused", ALL, PREFIX),
    ("ref.json", "relative pointer ref to array"): ("refused", ALL, PREFIX),
    ("definitions.json", "valid definition"): ("refused", ALL, REMOTE),
    ("definitions.json", "invalid definition"): ("refused", ALL, REMOTE),
    ("ref.json", "remote ref, containing refs itself"): ("refused", ALL, REMOTE),
    ("ref.json", "Recursive references between schemas"): (
        "refused", ALL, "a part with an $id is found by exactly that $id; relative addresses are not resolved"),
    ("refRemote.json", "remote ref"): ("refused", ALL, REMOTE),
    ("refRemote.json", "fragment within remote ref"): ("refused", ALL, REMOTE),
    ("refRemote.json", "ref within remote ref"): ("refused", ALL, REMOTE),
    ("refRemote.json", "base URI change"): ("refused", ALL, REMOTE),
    ("refRemote.json", "base URI change - change folder"): ("refused", ALL, REMOTE),
    ("refRemote.json", "base URI change - change folder in subschema"): ("refused", ALL, REMOTE),
    ("refRemote.json", "root ref in remote ref"): ("refused", ALL, REMOTE),
    ("ref.json", "ref overrides any sibling keywords"): ("violates", {"ref valid, maxItems ignored"}, SIBLING),
    ("optional/content.json", "validation of string-encoded content based on media type"): (
        "accepts", {"an invalid JSON document"}, CONTENT),
    ("optional/content.json", "validation of binary string-encoding"): (
        "accepts", {"an invalid base64 string (% is not a valid character)"}, CONTENT),
    ("optional/content.json", "validation of binary-encoded media type documents"): (
        "accepts", {"a validly-encoded invalid JSON document", "an invalid base64 string that is valid JSON"}, CONTENT),
    ("optional/format/idn-email.json", "validation of an internationalized e-mail addresses"): (
        "accepts", {"an invalid idn e-mail address"}, FORMAT),
    ("optional/format/idn-hostname.json", "validation of internationalized host names"): (
        "accepts", {"illegal first char U+302E Hangul single dot tone mark",
                    "contains illegal char U+302E Hangul single dot tone mark",
                    "a host name with a component too long"}, FORMAT),
    ("optional/format/uri-template.json", "format: uri-template"): ("accepts", {"an invalid uri-template"}, FORMAT),
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


def vectors(directory):
    """All vectors of a directory, answered: "accepts", "violates", "refused" (the schema), "error"."""
    requests, places = [], []
    for path in sorted(directory.rglob("*.json")):
        for group in json.loads(path.read_text()):
            requests.append((b"schema", group["schema"]))
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


def test_suite():
    if not SUITE.is_dir():
        pytest.skip(f"{SUITE} is missing: install json-schema-test-suite")
    judged, wrong, met = 0, [], set()
    for vector in vectors(SUITE):
        answer, names, reason = DIFFERENT.get((vector.file, vector.group), (None, (), None))
        if answer and (names == ALL or vector.name in names):
            met.add((vector.file, vector.group))
            if vector.answer != answer:
                wrong.append(f"{vector}: listed as {answer} ({reason})")
        elif as_suite_says(vector):
            judged += 1
        else:
            wrong.append(str(vector))
    assert not wrong, "\n".join(wrong)
    assert met == set(DIFFERENT), f"listed, but not in the suite: {set(DIFFERENT) - met}"
    assert judged >= LEAST, f"only {judged} vectors"
    print(f"JSON Schema test suite: {judged} vectors as the suite says")


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
