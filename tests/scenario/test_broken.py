"""`treadle validate` on broken workflows: exit code 2, the place as editors understand it, advice, and the line.

What must be reported stands at the top of each file in broken/, one line a problem:
`# expect: LINE:COL: what is wrong || what was expected`.
"""
import pathlib
import re

import pytest

FILES = sorted((pathlib.Path(__file__).parent / "broken").glob("*.yaml"))
EXPECT = re.compile(r"^# expect: (\d+):(\d+): (.*?) \|\| (.*)$", re.M)

VALID = """\
workflow:
  name: fine
  telemetry: {enabled: true}
  steps:
    - name: a
      type: test_echo
      value: 1
"""


def reported(text, path, kind):
    return [(int(line), int(col), what) for line, col, what in
            re.findall(rf"^{re.escape(str(path))}:(\d+):(\d+): {kind}: (.*)$", text, re.M)]


def test_there_are_many():
    assert len(FILES) >= 130


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_broken(treadle, path):
    source = path.read_text()
    expected = EXPECT.findall(source)
    assert expected
    result = treadle("validate", path, code=2)
    found = reported(result.err, path, "error")
    assert [(line, col) for line, col, _ in found] == [(int(line), int(col)) for line, col, _, _ in expected], result
    for (line, col, what), (_, _, diagnosis, remedy) in zip(found, expected):
        assert diagnosis in what and remedy in what[what.index(diagnosis):], result
        shown = result.err[result.err.index(f":{line}:{col}: error: "):].split("\n")
        assert shown[1].strip() in source.split("\n")[line - 1].replace("\t", " ") or "..." in shown[1], result
        assert shown[2].strip() == "^", result
        if "..." not in shown[1]:
            assert shown[2].index("^") == 4 + col - 1, result
    assert result.out == ""
    errors = len(expected)
    assert re.search(rf"^{re.escape(str(path))}: {errors} error{'s' if errors > 1 else ''}", result.err, re.M), result


def test_a_schema_that_says_nothing(treadle):
    steps = '{name: a, type: claude, prompt: x, output_schema: %s}'
    for schema, warned in [("{title: {type: string}}", True), ("{title: a report}", False), ("{}", False),
                           ("{description: {type: string}}", True), ("{type: object}", False)]:
        path = treadle.file("w.yaml", f"workflow:\n  name: w\n  steps:\n    - {steps % schema}\n")
        result = treadle("validate", path, code=0)
        assert ("has no keyword of JSON Schema" in result.err) == warned, result


def test_valid_with_warning(treadle):
    path = treadle.cwd / "fine.yaml"
    path.write_text(VALID)
    result = treadle("validate", path, code=0)
    warning = (3, 3, "`telemetry` has no effect; the engine needs no such setting")
    assert reported(result.err, path, "warning") == [warning], result
    assert f"{path}: 0 errors, 1 warning" in result.err, result


def test_all_files_are_looked_at(treadle):
    fine = treadle.cwd / "fine.yaml"
    fine.write_text(VALID)
    result = treadle("validate", FILES[0], fine, FILES[-1], code=2)
    assert reported(result.err, FILES[0], "error") and reported(result.err, FILES[-1], "error"), result


def test_broken_does_not_run(treadle):
    path = treadle.cwd / "broken.yaml"
    path.write_text("workflow:\n  name: w\n  steps:\n"
                    "    - {name: a, type: command, run: touch ran}\n    - {name: b, type: nope}\n")
    result = treadle("run", path, code=2)
    assert reported(result.err, path, "error"), result
    assert not list(treadle.cwd.rglob("ran"))
