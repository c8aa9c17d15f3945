"""`treadle schema`: the JSON Schema for editors accepts every workflow that we show, and knows wrong keys."""
import json
import pathlib
import re
import subprocess

import pytest
import yaml

from conftest import ROOT, program
from test_docs import PAGES, blocks

BROKEN = pathlib.Path(__file__).parent / "broken"


class Loader(yaml.SafeLoader):
    """As Treadle reads YAML 1.2: `on`, `yes` and dates are text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers
            if not (tag.endswith(":bool") and first not in "tTfF") and not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def judge(values):
    """The verdicts of Treadle's own schema checker: None, or the report."""
    schema = (ROOT / "docs/workflow.schema.json").read_bytes()
    asked = [b"schema %d\n%s" % (len(schema), schema)]
    for value in values:
        text = json.dumps(value, default=str).encode()
        asked.append(b"value %d\n%s" % (len(text), text))
    done = subprocess.run([program("schema_check")], input=b"".join(asked), capture_output=True, check=True)
    rest, verdicts = done.stdout.decode(), []
    assert rest.startswith("ok\n"), rest[:300]
    rest = rest[3:]
    while rest:
        line, _, rest = rest.partition("\n")
        word, _, size = line.partition(" ")
        if word == "violates":
            raw = rest.encode()
            verdicts.append(raw[:int(size)].decode())
            rest = raw[int(size) + 1:].decode()
        else:
            verdicts.append(None if word == "ok" else line)
    assert len(verdicts) == len(values)
    return verdicts


def shown():
    found = [(f"{page.name}: {name}", text) for page in PAGES for _, language, text, name in blocks(page)
             if language == "yaml" and re.search(r"^workflow:", text, re.M)]
    found += [(str(path.relative_to(ROOT)), path.read_text()) for path in sorted((ROOT / "examples").rglob("*.yaml"))
              if "\nworkflow:" in path.read_text()]
    found += [(str(path.relative_to(ROOT)), path.read_text())
              for path in sorted((ROOT / "tests/crash/workflows").glob("*.yaml"))]
    return found


def test_the_file_is_what_the_program_prints(treadle):
    assert treadle("schema", code=0).out == (ROOT / "docs/workflow.schema.json").read_text()


def test_what_we_show_is_accepted():
    found = shown()
    assert len(found) >= 20
    verdicts = judge([yaml.load(text, Loader) for _, text in found])
    assert [(name, verdict) for (name, _), verdict in zip(found, verdicts) if verdict] == []


STEP = {"name": "a", "type": "command", "run": "true"}


@pytest.mark.parametrize("change, accepted", [
    ({}, True),
    ({"timeout": "10m"}, True), ({"timeout": "{{ inputs.t }}"}, False), ({"timeout": "10 parsecs"}, False),
    ({"tiemout": 1}, False), ({"prompt": "x"}, False), ({"type": "comand"}, False), ({"type": "bash"}, True),
    ({"retry": 3}, True), ({"retry": {"on": ["timeout"]}}, True), ({"retry": {"attempts": 3}}, False),
    ({"on_error": "ignore"}, False), ({"on_error": {"goto": "b"}}, True), ({"on_error": {"steps": [STEP]}}, True),
    ({"on_error": {"steps": [{**STEP, "nope": 1}]}}, False), ({"ok_exit": ["x"]}, False), ({"run": None}, True),
    ({"on_interrupt": "perhaps"}, False), ({"output_limit": "64KB"}, True), ({"cache": True}, True),
])
def test_single_keys(change, accepted):
    [verdict] = judge([{"workflow": {"name": "w", "steps": [{**STEP, **change}]}}])
    assert (verdict is None) == accepted, verdict


def test_either_spelling_of_a_required_key():
    step = {"name": "a", "type": "command"}
    bare, spelt = judge([{"workflow": {"name": "w", "steps": [x]}} for x in (step, {**step, "command": "true"})])
    assert bare and not spelt


def test_wrong_keys_are_found():
    unknown = [path for path in sorted(BROKEN.glob("*.yaml"))
               if "unknown key" in path.read_text().split("\nworkflow")[0]]
    assert len(unknown) >= 5
    verdicts = judge([yaml.load(path.read_text(), Loader) for path in unknown])
    assert [path.name for path, verdict in zip(unknown, verdicts) if not verdict] == []
