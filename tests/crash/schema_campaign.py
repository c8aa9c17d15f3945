#!/usr/bin/python3
"""Random JSON Schemas (2020-12, all of docs/schema.md) and values, judged by Treadle and by ajv: they must agree.

    schema_campaign.py PAIRS SEED        prints the figures; exit 1 at the first disagreements, 3 without node or ajv

ajv comes with tools/npm.sh. Values are made along the schema and then bent, so that both answers are frequent. Where
ajv is not the standard's reference, the generator keeps away (each place says so).
"""
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

NAMES = ["a", "b", "ab", "name", "é", "x y", "1"]  # not "": ajv never misses it
TEXTS = ["", "a", "ab", "abc", "A1", "é", "😀", "a\n", "10", "2024-02-29", "2023-02-29", "12:00:00Z", "x@example.org",
         "192.0.2.1", "1.2.3", "::1", "123e4567-e89b-12d3-a456-426614174000", "/a/b", "2024-01-01T00:00:00Z", "P1D"]
# Not 1e300: ajv's multipleOf reads only its 1.
NUMBERS = [0, 1, -1, 2, 3, 5, 10, 0.5, -0.25, 1.5, 1e3, 2**31, 2**53 - 1, -(2**53 - 1), 1.0]
PATTERNS = ["^a", "b$", "^[a-z]+$", "[0-9]", "^.$", "^(a|b)*$", "\\d{2}", "^\\S+$", "é", "\\p{Lu}", "^$", "^x-"]
# Formats whose meaning ajv-formats has as RFC 3339 and its like have it, for the texts above.
FORMATS = ["date", "date-time", "time", "email", "ipv4", "ipv6", "uuid", "json-pointer", "duration", "made-up"]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.defs = []
        self.special = rng.choice(["contains", "unevaluatedItems"])

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
                # ajv divides doubles for multipleOf: only divisors that are exact in binary
            out[key] = self.rng.choice([1, 2, 3, 0.5, 0.25]) if key == "multipleOf" else self.rng.choice(NUMBERS)

    def text(self, out, depth):
        for key in self.some(["minLength", "maxLength", "pattern", "format"], 2):
            out[key] = self.rng.choice({"pattern": PATTERNS, "format": FORMATS}.get(key, [0, 1, 2, 3]))

    def array(self, out, depth):
        r = self.rng
        # To ajv every item counts as evaluated where there is a `contains`, so a schema has one or the other; and
        # beside prefixItems it finds what `contains` wants in an empty array.
        keys = ["items", "minItems", "maxItems", "uniqueItems"]
        keys += [r.choice(["prefixItems", "contains"])] if self.special == "contains" else ["prefixItems", self.special]
        for key in self.some(keys):
            if key in ("items", "unevaluatedItems"):
                out[key] = self.schema(depth)
            elif key == "contains":
                out[key] = self.schema(depth)
                if r.random() < 0.5:
                    out["minContains"] = r.randrange(3)
                if r.random() < 0.5:
                    out["maxContains"] = r.randrange(1, 4)
            elif key == "prefixItems":
                out[key] = [self.schema(depth) for _ in range(r.randint(1, 3))]
            else:
                out[key] = r.random() < 0.8 if key == "uniqueItems" else r.randrange(4)

    def object(self, out, depth):
        r = self.rng
        for key in self.some(["properties", "patternProperties", "additionalProperties", "propertyNames", "required",
                              "minProperties", "maxProperties", "dependentRequired", "dependentSchemas",
                              "unevaluatedProperties"]):
            if key in ("properties", "dependentSchemas"):
                out[key] = {name: self.schema(depth) for name in self.some(NAMES)}
            elif key == "patternProperties":
                out[key] = {pattern: self.schema(depth) for pattern in self.some(PATTERNS, 2)}
            elif key in ("additionalProperties", "unevaluatedProperties"):
                out[key] = self.schema(depth)
            elif key == "propertyNames":
                out[key] = r.choice([{"maxLength": 1}, {"pattern": r.choice(PATTERNS)}, {"enum": self.some(NAMES)},
                                     True])
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
        if self.special == "unevaluatedItems" and key in ("oneOf", "if"):
            key = "allOf"  # ajv counts what a branch that failed, or a false `if`, has looked at
        if key in ("allOf", "anyOf", "oneOf"):
            out[key] = [self.schema(depth) for _ in range(r.randint(1, 3))]
        elif key == "not":
            out[key] = self.schema(depth)
        elif key == "if":
            out[key] = self.schema(depth)
            for branch in self.some(["then", "else"], 2):
                out[branch] = self.schema(depth)
        elif self.defs:
            out["$ref"] = "#/$defs/" + r.choice(self.defs)

    def whole(self):
        """A schema with definitions that refer to later ones only, so that no circle stays at one value."""
        defs = {}
        for i in reversed(range(self.rng.randrange(3))):
            self.defs = [f"d{k}" for k in range(i + 1, 3) if f"d{k}" in defs]
            defs[f"d{i}"] = self.schema(2)
        self.defs = list(defs)
        schema = self.schema(3)
        if not isinstance(schema, dict):
            return schema
        return {**schema, "$defs": defs} if defs else schema

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


def ask_ajv(cases):
    modules = ROOT / "build/npm/node_modules"
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(["node", str(ROOT / "tests/crash/schema_ajv.js")], input=lines, capture_output=True,
                          text=True, env={**os.environ, "NODE_PATH": str(modules)}, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


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


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    pairs, seed = int(sys.argv[1]), int(sys.argv[2])
    if not shutil.which("node") or not (ROOT / "build/npm/node_modules/ajv").is_dir():
        print("schema_campaign: SKIPPED: node or ajv is missing; run tools/npm.sh", file=sys.stderr)
        return 3
    rng, done, valid, wrong, broke = random.Random(seed), 0, 0, 0, 0
    while done < pairs:
        cases = []
        for _ in range(min(1000, (pairs - done + VALUES - 1) // VALUES)):
            maker = Maker(rng)
            schema = maker.whole()
            cases.append({"schema": schema, "values": [maker.fitting(schema) for _ in range(VALUES)]})
        for case, ours, theirs in zip(cases, ask_treadle(cases), ask_ajv(cases)):
            done += VALUES
            if isinstance(ours, list):
                valid += sum(answer is True for answer in ours)
            if isinstance(theirs, dict) and "Cannot set properties" in theirs["error"]:
                broke += 1  # ajv's own compiler
                done -= VALUES
                continue
            if ours == theirs:
                continue
            judged = isinstance(ours, list) and isinstance(theirs, list)
            for value, a, b in (zip(case["values"], ours, theirs) if judged else [("the schema itself", ours, theirs)]):
                if a != b:
                    wrong += 1
                    if wrong <= 10:
                        print(f"schema {json.dumps(case['schema'])}\nvalue {json.dumps(value)}\n"
                              f"  treadle {a}, ajv {b}", file=sys.stderr)
    print(f"seed {seed}: {done} pairs of schemas and values, {valid} of them valid, {wrong} judged otherwise than by "
          f"ajv (which failed to compile {broke} schemas)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
