"""What is documented for workflows of older versions, key by key: accepted, and with the effect that is documented.

Each entry of documented/*.yaml is a small workflow and what it must come to:

  what      the key, function, word or value that it is about
  file      a whole workflow; or `steps`, the steps of one called `w`
  beside    other files: {PATH: TEXT}; `env`: environment variables; `args`: more words of the command line;
            `fixtures`: of the mock
  exit      the exit code, 0 unless said
  notice    what `treadle validate` says about it, in part
  then      {PATH: VALUE}: a path into the results of the run (`error.…`: into its error), or `file NAME`; a value, or
            {has: TEXT} or {lacks: TEXT} of its JSON
"""
import json
import pathlib
import textwrap

import pytest
import yaml

ENTRIES = [pytest.param(entry, id=f"{path.stem}: {entry['what']}")
           for path in sorted((pathlib.Path(__file__).parent / "documented").glob("*.yaml"))
           for entry in yaml.safe_load(path.read_text())]
KEYS = {"what", "file", "steps", "beside", "env", "args", "fixtures", "exit", "notice", "then"}


def test_there_are_many():
    assert len(ENTRIES) >= 360


def at(value, path):
    for key in path.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return "(missing)"
    return value


def differs(got, wanted):
    if isinstance(wanted, dict) and set(wanted) <= {"has", "lacks"} and wanted:
        text = got if isinstance(got, str) else json.dumps(got, ensure_ascii=False, separators=(",", ":"))
        return wanted.get("has", "") not in text or wanted.get("lacks", "(missing)") in text
    return got != wanted or isinstance(got, bool) != isinstance(wanted, bool)


@pytest.mark.parametrize("entry", ENTRIES)
def test_documented(treadle, entry):
    assert set(entry) <= KEYS and ("file" in entry) != ("steps" in entry) and set(entry) & {"exit", "notice", "then"}
    text = entry.get("file") or "workflow:\n  name: w\n  steps:\n" + textwrap.indent(entry["steps"], "    ")
    treadle.file("w.yaml", text)
    for name, content in entry.get("beside", {}).items():
        treadle.file(name, content)
    mock = "--mock" + ("=" + treadle.file("fixtures.json", entry["fixtures"]) if "fixtures" in entry else "")
    result = treadle("run", "w.yaml", mock, "--json", "--quiet", *entry.get("args", []), env=entry.get("env"),
                     code=entry.get("exit", 0))
    values = {**result.json.get("results", {}), "error": result.json.get("error")}
    for path, wanted in entry.get("then", {}).items():
        if path.startswith("file "):
            file = treadle.cwd / path[5:]
            got = file.read_text() if file.is_file() else "(missing)"
        else:
            got = at(values, path)
        assert not differs(got, wanted), f"{path} is {json.dumps(got)[:600]}, not {json.dumps(wanted)}\n{result}"
    if "notice" in entry:
        assert entry["notice"] in treadle("validate", "w.yaml", env=entry.get("env"), code=(0, 2)).err
