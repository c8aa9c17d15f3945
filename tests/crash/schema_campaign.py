#!/usr/bin/python3
"""Random JSON Schemas (2020-12, all of docs/schema.md) and values, judged by Treadle, by ajv and by Hyperjump.

    schema_campaign.py PAIRS SEED        prints the figures; exit 1 if judgements differ, 3 without node or the packages

Both come with tools/npm.sh. Values are made along the schema and then bent, so that both answers are frequent. No
combination of keywords is left out. Treadle and Hyperjump must agree on every pair. Where ajv differs from both, it
must be by one of the defects of ajv that are listed here, with a schema that has what the defect is about.
"""
import collections
import decimal
import fractions
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TREADLE_BUILD", ROOT / "build/release"))
VALUES = 10  # of a schema

NAMES = ["", "a", "b", "ab", "name", "é", "x y", "1"]
TEXTS = ["", "a", "ab", "abc", "A1", "é", "😀", "a\n", "10", "2024-02-29", "2023-02-29", "12:00:00Z", "x@example.org",
         "192.0.2.1", "1.2.3", "::1", "123e4567-e89b-12d3-a456-426614174000", "/a/b", "2024-01-01T00:00:00Z", "P1D",
         "a-b.example", "-a", "é.example", "http://a/b?c#d", "urn:x", "a b", "{a}", "{", "é@é", "(", "0/a", "12:00:00",
         "~"]
NUMBERS = [0, 1, -1, 2, 3, 5, 10, 0.5, -0.25, 1.5, 1e3, 2**31, 2**53 - 1, -(2**53 - 1), 1.0, 0.1, 0.3, -1.1, 4.02,
           1e21, 1e300]
PATTERNS = ["^a", "b$", "^[a-z]+$", "[0-9]", "^.$", "^(a|b)*$", "\\d{2}", "^\\S+$", "é", "\\p{Lu}", "^$", "^x-"]
FORMATS = ["date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
           "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer",
           "relative-json-pointer", "regex", "made-up"]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.defs = []  # that a $ref about the same value may lead to
        self.deep = 0   # a part of the value is judged: a $ref may lead anywhere

    def inner(self, depth):
        """A schema for a part of the value."""
        self.deep += 1
        schema = self.schema(depth)
        self.deep -= 1
        return schema

    def some(self, items, most=3):
        return self.rng.sample(items, self.rng.randint(1, min(most, len(items))))

    def value(self, depth=2):
        kind = self.rng.randrange(7 if depth else 5)
        if kind == 0:
            return self.rng.choice([None, True, False])
        if kind <= 2:
            return self.rng.choice(NUMBERS)
        if kind <= 4:
            return self.rng.choice(TEXTS)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.rng.randrange(4))]
        return {name: self.value(depth - 1) for name in self.rng.sample(NAMES, self.rng.randrange(4))}

    def schema(self, depth):
        r = self.rng
        if depth == 0 or r.random() < 0.06:
            return r.choice([True, False, {}, {"type": r.choice(TYPES)}, {"type": self.some(TYPES)}])
        out = {}
        if r.random() < 0.5:
            out["type"] = r.choice(TYPES) if r.random() < 0.7 else self.some(TYPES)
        groups = [self.numbers, self.text, self.array, self.object, self.any, self.combined]
        for group in r.sample(groups, r.randint(1, 3)):
            group(out, depth - 1)
        return out

    def numbers(self, out, depth):
        for key in self.some(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"], 2):
            out[key] = self.rng.choice([1, 2, 3, 0.5, 0.25, 0.1, 0.01] if key == "multipleOf" else NUMBERS)

    def text(self, out, depth):
        for key in self.some(["minLength", "maxLength", "pattern", "format"], 2):
            out[key] = self.rng.choice({"pattern": PATTERNS, "format": FORMATS}.get(key, [0, 1, 2, 3]))

    def array(self, out, depth):
        r = self.rng
        for key in self.some(["items", "prefixItems", "contains", "unevaluatedItems", "minItems", "maxItems",
                              "uniqueItems"]):
            if key in ("items", "unevaluatedItems"):
                out[key] = self.inner(depth)
            elif key == "contains":
                out[key] = self.inner(depth)
                if r.random() < 0.5:
                    out["minContains"] = r.randrange(3)
                if r.random() < 0.5:
                    out["maxContains"] = r.randrange(1, 4)
            elif key == "prefixItems":
                out[key] = [self.inner(depth) for _ in range(r.randint(1, 3))]
            else:
                out[key] = r.random() < 0.8 if key == "uniqueItems" else r.randrange(4)

    def object(self, out, depth):
        r = self.rng
        for key in self.some(["properties", "patternProperties", "additionalProperties", "propertyNames", "required",
                              "minProperties", "maxProperties", "dependentRequired", "dependentSchemas",
                              "unevaluatedProperties"]):
            if key in ("properties", "dependentSchemas"):
                part = self.inner if key == "properties" else self.schema
                out[key] = {name: part(depth) for name in self.some(NAMES)}
            elif key == "patternProperties":
                out[key] = {pattern: self.inner(depth) for pattern in self.some(PATTERNS, 2)}
            elif key in ("additionalProperties", "unevaluatedProperties"):
                out[key] = self.inner(depth)
            elif key == "propertyNames":
                out[key] = r.choice([{"maxLength": 1}, {"pattern": r.choice(PATTERNS)}, {"enum": self.some(NAMES)},
                                     self.inner(depth)])
            elif key == "required":
                out[key] = self.some(NAMES, 2)
            elif key == "dependentRequired":
                out[key] = {name: self.some(NAMES, 2) for name in self.some(NAMES, 2)}
            else:
                out[key] = r.randrange(4)

    def any(self, out, depth):
        if self.rng.random() < 0.5:
            out["enum"] = [self.value() for _ in range(self.rng.randint(1, 4))]
        else:
            out["const"] = self.value()

    def combined(self, out, depth):
        r = self.rng
        key = r.choice(["allOf", "anyOf", "oneOf", "not", "if", "$ref", "$ref"])
        if key in ("allOf", "anyOf", "oneOf"):
            out[key] = [self.schema(depth) for _ in range(r.randint(1, 3))]
        elif key == "not":
            out[key] = self.schema(depth)
        elif key == "if":
            out[key] = self.schema(depth)
            for branch in r.sample(["then", "else"], r.randrange(3)):
                out[branch] = self.schema(depth)
        elif self.deep:
            out["$ref"] = r.choice(["#", "#/$defs/d0", "#/$defs/d1", "#/$defs/d2"])
        elif self.defs:
            out["$ref"] = "#/$defs/" + r.choice(self.defs)

    def whole(self):
        """A schema with definitions. About one value they refer to later ones only: no circle stays there."""
        defs = {}
        for i in (2, 1, 0):
            self.defs = [f"d{k}" for k in range(i + 1, 3)]
            defs[f"d{i}"] = self.schema(2)
        self.defs = list(defs)
        schema = self.schema(3)
        if not isinstance(schema, dict):
            return schema
        return {**schema, "$defs": defs} if "$ref" in json.dumps(schema) else schema

    # Values along a schema: what it names is used, most of the time as it wants it.

    def fitting(self, schema, depth=3):
        r = self.rng
        if not isinstance(schema, dict) or depth == 0 or r.random() < 0.15:
            return self.value()
        if "const" in schema and r.random() < 0.7:
            return schema["const"]
        if "enum" in schema and r.random() < 0.7:
            return r.choice(schema["enum"])
        for key in ("allOf", "anyOf", "oneOf"):
            if key in schema and r.random() < 0.4:
                return self.fitting(r.choice(schema[key]), depth)
        types = schema.get("type", None)
        types = [types] if isinstance(types, str) else types
        if types is None:
            types = [kind for kind, keys in {
                "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
                "array": ("items", "prefixItems", "contains", "minItems", "uniqueItems"),
                "string": ("minLength", "pattern", "format", "maxLength"),
                "number": ("minimum", "maximum", "multipleOf")}.items() if any(key in schema for key in keys)] or TYPES
        kind = r.choice(types)
        if kind == "array":
            prefix = [self.fitting(each, depth - 1) for each in schema.get("prefixItems", [])][:r.randrange(5)]
            more = [self.fitting(schema.get("items", schema.get("contains", True)), depth - 1)
                    for _ in range(r.randrange(3))]
            return prefix + more
        if kind == "object":
            properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            wanted = list(properties) + list(schema.get("required", [])) + r.sample(NAMES, r.randrange(3))
            return {name: self.fitting(properties.get(name, others), depth - 1) for name in wanted if r.random() < 0.8}
        if kind == "string":
            return r.choice(TEXTS)
        if kind in ("integer", "number"):
            bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            near = [schema[key] for key in bounds if key in schema]
            return r.choice(NUMBERS + near + [n + d for n in near if abs(n) < 1e9 for d in (1, -1)])
        return None if kind == "null" else r.random() < 0.5


def numbers(value):
    """Every number in a value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers(part)


def exactly(number):
    return fractions.Fraction(decimal.Decimal(repr(number)))


def without_division(schema, met):
    """The same schema for the numbers in `met`, with `multipleOf` spelled out: floating point cannot divide by 0.1."""
    if isinstance(schema, list):
        return [without_division(part, met) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: part if key in ("const", "enum") else without_division(part, met)
           for key, part in schema.items() if key != "multipleOf"}
    if "multipleOf" in schema:
        fit = [n for n in met if (exactly(n) / exactly(schema["multipleOf"])).denominator == 1]
        out["allOf"] = out.get("allOf", []) + [{"anyOf": [{"not": {"type": "number"}}, {"enum": fit or [None]}]}]
    return out


def keywords(schema):
    """Every name of a member anywhere in the schema, every text in a list, every format: a coarse sieve."""
    if isinstance(schema, dict):
        for key, part in schema.items():
            yield f"format {part}" if key == "format" else key
            yield from keywords(part)
    elif isinstance(schema, list):
        for part in schema:
            if isinstance(part, str):
                yield f"[{part}]"
            yield from keywords(part)


# Defects of ajv 8.17.1: (in words, may this schema meet it?). The numbers are those of its issues and pull requests.
UNEVALUATED = {"unevaluatedItems", "unevaluatedProperties"}
BRANCHES = {"oneOf", "anyOf", "if", "not", "dependentSchemas", "$ref"}
DEFECTS = [
    ('2077: `required` and `dependentRequired` never miss the name ""', lambda k, met: "[]" in k),
    ("2561: a number of 1e21 or more is no multiple of anything, and 0.3 none of 0.1",
     lambda k, met: "multipleOf" in k and any(isinstance(n, float) for n in met)),
    ("1909: `contains` evaluates every item", lambda k, met: {"contains", "unevaluatedItems"} <= k),
    ("none: beside prefixItems, `contains` finds what it wants in an empty array",
     lambda k, met: {"contains", "prefixItems"} <= k),
    ("none: ajv-formats does not have the formats with letters of all scripts, takes 12:00:00 for a relative "
     "reference, and { for an expression (it is one without the flag `u`, which the standard wants)",
     lambda k, met: {"format idn-email", "format idn-hostname", "format iri", "format iri-reference",
                     "format uri-reference", "format regex"} & k),
    ("2559, 2639, 2648: what branches and references evaluated is forgotten, or kept although they failed",
     lambda k, met: UNEVALUATED & k and BRANCHES & k),
]


BROKEN = "Cannot set properties of undefined"  # what its compiler says of some schemas


def ask_node(judge, cases):
    modules = ROOT / "build/npm/node_modules"
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(["node", str(ROOT / "tests/crash/schema_judges.js"), judge], input=lines, capture_output=True,
                          text=True, env={**os.environ, "NODE_PATH": str(modules)}, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask_hyperjump(cases):
    return ask_node("hyperjump", [{**case, "schema": without_division(case["schema"], list(numbers(case["values"])))}
                                  for case in cases])


def ask_treadle(cases):
    requests = []
    for case in cases:
        for kind, document in [("schema", case["schema"])] + [("value", value) for value in case["values"]]:
            data = json.dumps(document).encode()
            requests.append(b"%s %d\n" % (kind.encode(), len(data)) + data)
    done = subprocess.run([BUILD / "schema_check"], input=b"".join(requests), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    out, at, words = done.stdout, 0, []
    while at < len(out):
        end = out.index(b"\n", at)
        word, _, said = out[at:end].decode().partition(" ")
        at = end + 1
        if word == "violates":
            said, at = out[at:at + int(said)].decode(), at + int(said) + 1
        words.append((word, said))
    answers, i = [], 0
    for case in cases:
        schema, values = words[i], words[i + 1:i + 1 + len(case["values"])]
        i += 1 + len(case["values"])
        answers.append({"error": schema[1]} if schema[0] != "ok" else
                       [{"ok": True, "violates": False}.get(word, said) for word, said in values])
    return answers


def defect(case):
    """The first defect of ajv that the schema may meet, or None."""
    names, met = set(keywords(case["schema"])), list(numbers(case["values"]))
    return next((words for words, meets in DEFECTS if meets(names, met)), None)


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    pairs, seed = int(sys.argv[1]), int(sys.argv[2])
    modules = ROOT / "build/npm/node_modules"
    if not shutil.which("node") or not all((modules / name).is_dir() for name in ("ajv", "@hyperjump/json-schema")):
        print("schema_campaign: SKIPPED: node or its packages are missing; run tools/npm.sh", file=sys.stderr)
        return 3
    rng, done, valid, wrong, defects = random.Random(seed), 0, 0, 0, collections.Counter()
    while done < pairs:
        cases = []
        for _ in range(min(1000, (pairs - done + VALUES - 1) // VALUES)):
            maker = Maker(rng)
            schema = maker.whole()
            cases.append({"schema": schema, "values": [maker.fitting(schema) for _ in range(VALUES)]})
        for case, ours, second, ajv in zip(cases, ask_treadle(cases), ask_hyperjump(cases), ask_node("ajv", cases)):
            done += VALUES
            if isinstance(ajv, dict) and isinstance(ours, list) and BROKEN in ajv["error"]:
                defects["none: does not compile"] += VALUES
                ajv = second
            for i, value in enumerate(case["values"]):
                a, b, c = (each[i] if isinstance(each, list) else each for each in (ours, second, ajv))
                fits = a if isinstance(a, dict) else a is True
                valid += fits is True
                known = defect(case) if fits != c else None
                if fits == b and known:
                    defects[known] += 1
                elif fits != b or fits != c:
                    wrong += 1
                    if wrong <= 10:
                        print(f"schema {json.dumps(case['schema'])}\nvalue {json.dumps(value)}\n"
                              f"  treadle {a}, hyperjump {b}, ajv {c}", file=sys.stderr)
    print(f"seed {seed}: {done} pairs of schemas and values, {valid} of them valid, {wrong} judged otherwise")
    for words, count in defects.most_common():
        print(f"  {count:6} by ajv alone, {words}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
