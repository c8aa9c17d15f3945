"""`treadle migrate`: older files in the modern form, meaning the same, without warnings about their form."""
import re

import pytest

OLD = """\
# made by a generator
name: generated
input:
  topic: tides   # what about
max_execution_time: 600
steps:
  - id: note
    type: set_variable
    variable: seen
    value:
      - "{{ topic }}"
      - second
  - id: try
    type: command
    command: "exit 3"
    timeout_seconds: 5
    max_retries: 1
    continue_on_error: true
  - id: all
    type: for_loop
    over: "{{ seen }}"
    as: word
    steps:
      - {id: one, type: test_echo, message: "{{ word }} of {{ topic }}"}
"""


def forms(text):
    return re.findall(r"older form|older spelling|stands? beside|the root key", text)


def test_the_same_is_said_in_the_modern_form(treadle):
    treadle.file("old.yaml", OLD)
    before = treadle("run", "old.yaml", "--json", code=0)
    assert len(forms(before.err)) >= 5
    result = treadle("migrate", "old.yaml", code=0)
    assert "# made by a generator\nworkflow:\n" in result.out and "{default: tides}   # what about" in result.out
    assert (treadle.cwd / "old.yaml").read_text() == OLD
    treadle.file("new.yaml", result.out)
    after = treadle("run", "new.yaml", "--json", code=0)
    assert not forms(after.err), after.err
    was, now = before.json["results"], after.json["results"]
    for results in (was, now):
        results["try"].pop("duration_ms")
    assert was == now and was["all"]["iterations"][0]["results"]["one"] == "tides of tides"


def test_write(treadle):
    path = treadle.file("old.yaml", OLD)
    assert treadle("migrate", "old.yaml", "--write", code=0).out == ""
    text = (treadle.cwd / "old.yaml").read_text()
    assert text != OLD and treadle("migrate", "old.yaml", code=0).out == text
    assert [p.name for p in treadle.cwd.glob("*.migrated")] == []


def test_mistakes_that_are_left_are_told_by_the_exit_code(treadle):
    treadle.file("old.yaml", OLD.replace("{{ topic }}", "{{ steps.nope }}", 1))
    result = treadle("migrate", "old.yaml", code=2)
    assert result.out.startswith("# made by a generator\nworkflow:\n") and "unknown step `nope`" in result.err


@pytest.mark.parametrize("text", ["- a list\n", "nothing: here\n", "workflow: [\n"])
def test_what_is_no_workflow(treadle, text):
    treadle.file("no.yaml", text)
    result = treadle("migrate", "no.yaml", code=2)
    assert result.out == "" and "no.yaml" in result.err


def test_older_keywords_of_a_schema(treadle):
    text = """\
workflow:
  name: w
  steps:
    - name: a
      type: test_echo
      value: {title: abc, min_length: 1}
      output_schema:
        type: object
        properties:
          title: {type: string, min_length: 3}   # at least
          min_length: {type: integer}            # a name, no keyword
          list:
            type: array
            items:
              type: string
              max_length: 9
"""
    treadle.file("old.yaml", text)
    result = treadle("migrate", "old.yaml", code=0)
    assert result.out == text.replace("min_length: 3", "minLength: 3").replace("max_length: 9", "maxLength: 9")
    treadle.file("new.yaml", result.out)
    assert forms(treadle("validate", "old.yaml", code=0).err) and treadle("validate", "new.yaml", code=0).err == ""
