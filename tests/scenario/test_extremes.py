"""Whole numbers at their extremes: every key that is one in docs/ takes them with their meaning, or is refused with its
place and what was expected; none is wrapped around or cut in silence."""
import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
STEPS = {"claude": "prompt: x", "gemini": "prompt: x", "claude_smart": "prompt: x", "claude_session": "prompt: x",
         "claude_extract": "prompt: x", "claude_robust": "prompt: x", "llm": "prompt: x, model: openai/x",
         "gemini_instructor": "prompt: x, schema: {a: string}", "command": "run: x",
         "for_loop": "data_source: [1], steps: [{name: b, type: test_echo, value: 1}]",
         "while_loop": "condition: 'true', steps: [{name: b, type: test_echo, value: 1}]",
         "data_transform": "input_source: [1], operations: []", "file_ops": "operation: list, path: .",
         "parallel": "branches: {a: [{name: b, type: test_echo, value: 1}]}"}
BLOCKS = ("limits", "budget", "cache_config")
WRONG = ("-1", str(2**63), "1e400", "1.5", '"3"')
KEYS = sorted({(table, key) for page in DOCS.glob("*.md")
               for table, body in re.findall(r"<!-- table: keys (\S+) -->\n(.*?)<!-- end -->", page.read_text(), re.S)
               if table in STEPS or table in BLOCKS
               for key in re.findall(r"^\| `(\w+)` \| integer", body, re.M)})


def workflow(table, key, value):
    if table in BLOCKS:
        block, step = f"  {table}: {{{key}: {value}}}\n", "type: test_echo, value: 1"
    else:
        block, step = "", f"type: {table}, {STEPS[table]}, {key}: {value}"
    return f"workflow:\n  name: w\n{block}  steps:\n    - {{name: a, {step}}}\n"


def test_there_are_many():
    assert len(KEYS) >= 30


@pytest.mark.parametrize("table, key", KEYS)
def test_extremes(treadle, table, key):
    for value in WRONG + ("0", str(2**31), str(2**53), str(2**63 - 1)):
        result = treadle("validate", treadle.file("w.yaml", workflow(table, key, value)), code=(0, 2))
        told = re.search(rf":\d+:\d+: error: .*({key}.*(expected|out of range)|too large .*expected)", result.err)
        assert told if result.code else value not in WRONG, f"{key}: {value}\n{result}"


@pytest.mark.parametrize("value", ["-1", "1e30"])
def test_a_delay_out_of_range(treadle, value):
    treadle.file("w.yaml", f"workflow: {{name: w, steps: [{{name: a, type: test_echo, delay_ms: {value}}}]}}\n")
    assert re.search("`delay_ms` is (out of range|negative); expected", treadle("run", "w.yaml", code=2).err)
    treadle.file("late.yaml", "workflow: {name: w, steps: [{name: a, type: test_echo, delay_ms: '{{ inputs.ms }}'}]}\n")
    result = treadle("run", "late.yaml", "--input", f"ms={value}", code=1)
    assert re.search("`delay_ms` is (out of range|negative); expected", result.err)
