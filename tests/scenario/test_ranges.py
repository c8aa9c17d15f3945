"""Every number has a range: the validator, the published JSON Schema and a run judge it alike.

The keys are taken from the schema, so a new one is tested without being named here.
"""
import json
import re

import pytest

from conftest import ROOT
from test_workflow_schema import judge

SCHEMA = json.loads((ROOT / "docs/workflow.schema.json").read_text())
DEFS = SCHEMA["definitions"]
NUMBERS = ("integer", "number")

# The least that a step of each type needs.
ECHO = {"name": "inner", "type": "test_echo", "value": 1}
NEEDS = {
    "llm": {"model": "openai/m", "prompt": "p"}, "command": {"run": "true"}, "parallel": {"branches": {"b": [ECHO]}},
    "for_loop": {"data_source": [1], "steps": [ECHO]}, "while_loop": {"condition": False, "steps": [ECHO]},
    "switch": {"expression": "1", "cases": {"1": [ECHO]}},
    "pipeline": {"pipeline": {"steps": [ECHO]}}, "set_variable": {"variables": {"v": 1}},
    "data_transform": {"input_source": "[1]", "operations": [{"operation": "unique"}]},
    "codebase_query": {"queries": {"all": {"find_files": {"type": "main"}}}},
    "checkpoint": {}, "approval": {"message": "m"}, "wait_signal": {"signal": "s"}, "test_echo": {"value": 1},
    "parallel_claude": {"tasks": [{"id": "t", "prompt": "p"}]}, "claude_batch": {"tasks": [{"id": "t", "prompt": "p"}]},
    "file_ops": {"operation": "list", "path": "."}, "sleep": {}, "break": {}, "continue": {},
}
FILE_OPS = {"json_indent": {"operation": "convert", "source": "a.csv", "destination": "b.json"},
            "duration_seconds": {"operation": "wait"},
            **{key: {"operation": "stream_process", "source": "a", "destination": "b",
                     "processor": {"type": "test_echo", "value": "x"}}
               for key in ("chunk_size", "chunk_lines", "max_parallel")}}
IN_LOOP = ("break", "continue")


def is_key(name):
    """Is it the definition of one key, which many places share?"""
    return name.startswith(("every_", "workflow_", "part_"))


def alternatives(schema):
    """What a key may be, one by one. Definitions of blocks are not looked into: their keys are tested apart."""
    name = schema.get("$ref", "").removeprefix("#/definitions/")
    if is_key(name) or name == "late_time":
        return alternatives(DEFS[name])
    inner = schema.get("anyOf", schema.get("allOf", []))
    return [found for part in inner for found in alternatives(part)] or [schema]


def number_of(schema):
    """The plain number that a key may be: its part of the schema, or None."""
    return next((part for part in alternatives(schema) if part.get("type") in NUMBERS), None)


def values(number):
    """(value, whether it fits) around both ends."""
    step = 1 if number["type"] == "integer" else 0.5
    found = []
    if "minimum" in number:
        found += [(number["minimum"] - step, False), (number["minimum"], True), (number["minimum"] + step, True)]
    if "exclusiveMinimum" in number:
        low = number["exclusiveMinimum"]
        found += [(low - step, False), (low, False), (low + step, True)]
    if "maximum" in number:
        found += [(number["maximum"], True), (number["maximum"] + step, False)]
    return found


def step_of(kind, key, value):
    step = {"name": "s", "type": kind, **({} if kind in NEEDS else {"prompt": "p"}), **NEEDS.get(kind, {}), key: value}
    if kind == "sleep" and not {"for", "duration", "duration_seconds", "seconds"} & set(step):
        step["for"] = 1
    if kind == "for_loop" and key == "restart":
        step["parallel"] = True
    if kind == "file_ops" and key in FILE_OPS:
        step = {"name": "s", "type": kind, **FILE_OPS[key], key: value}
    if kind == "file_ops" and key == "limit":
        step["operation"] = "list"
    if kind == "claude_batch" and key == "tasks":
        step["tasks"] = value
    return step


# Where a block stands, below a step or the workflow; `None`: its keys are tested where it stands in another.
def in_step(kind, *path):
    def place(block):
        for name in reversed(path):
            block = {name: block}
        [(key, value)] = block.items()
        return {"step": step_of(kind, key, value)}
    return place


def in_workflow(*path):
    def place(block):
        for name in reversed(path):
            block = {name: block}
        return {"workflow": block}
    return place


def part(block):
    if "include_last_n" in block:
        return {"type": "session_context", "session_id": "s"}
    return {"type": "variable", "name": "{{ 'workflow.name' }}",
            **({"summary": True} if "max_summary_length" in block else {})}


BLOCKS = {
    "claude_options": [in_step("claude", "claude_options"), in_workflow("defaults", "claude_options"),
                       in_step("claude_batch", "claude_options")],
    "token_budget": [in_step("gemini", "token_budget"), in_workflow("defaults", "gemini_token_budget")],
    "model_retry": [in_step("claude_robust", "retry_config"), in_step("claude", "claude_options", "retry_config")],
    "session_config": [in_step("claude_session", "session_config")],
    "extraction_config": [in_step("claude_extract", "extraction_config")],
    "tasks_config": [in_step("claude_batch", "batch_config"), in_step("parallel_claude", "parallel_config")],
    "options": [lambda block: {"step": {"name": "s", "type": "file_ops", "operation": "convert", "source": "a.csv",
                                        "destination": "b.json", "options": block}}],
    "task_generator": [lambda block: {"step": {"name": "s", "type": "claude_batch", "task_template": {"prompt": "p"},
                                               "task_generator": {"pattern": "*.c", **block}}}],
    "file_criteria": [lambda block: {"step": {"name": "s", "type": "file_ops", "operation": "validate",
                                              "files": [{"path": "x"}, {"path": "x", **block}]}}],
    "restart": [in_step("parallel", "restart"), in_step("for_loop", "restart")],
    "retry": [in_step("command", "retry"), in_workflow("defaults", "retry")],
    "limits": [in_workflow("limits")],
    "budget": [in_workflow("budget"), in_step("claude", "budget")],
    "defaults": [in_workflow("defaults")],
    "cache": [in_step("claude", "cache")],
    "cache_config": [in_workflow("cache_config")],
    "performance": [in_workflow("performance")],
    "workspace_config": [in_workflow("workspace_config")],
    "call_config": [in_step("pipeline", "config")],
    "call_workspace": [in_step("pipeline", "config", "workspace")],
    "memory_limits": [in_step("pipeline", "config", "memory_limits")],
    "auto_cleanup": [in_step("pipeline", "config", "auto_cleanup")],
    "performance_budgets": [in_step("pipeline", "config", "performance_budgets")],
    "model_settings": [in_step("pipeline", "config", "inheritance", "providers", "override", "gemini")],
    "claude_settings": [in_step("pipeline", "config", "inheritance", "providers", "override", "claude")],
    "prompt_part": [lambda block: in_step("claude", "prompt")([{**part(block), **block}])],
    "resource_limits": [in_workflow("resource_limits")],
    "safety": [in_workflow("safety")],
    "safety_config": [in_workflow("safety_config")],
    "cost_limits": [in_workflow("cost_limits")],
    "cost_alerts": [in_workflow("cost_alerts")],
    "token_management": [in_workflow("token_management")],
    "workflow": [lambda block: {"workflow": block}],
}


def properties(name):
    """The keys of a definition that may also be something else than a map."""
    if name == "prompt_part":  # keys of parts are of one type of part each
        kinds = [DEFS[part["then"]["$ref"].removeprefix("#/definitions/")] for part in DEFS[name]["allOf"]]
        return {key: schema for kind in kinds for key, schema in kind["properties"].items()}
    found = DEFS[name]
    return next((part["properties"] for part in found.get("anyOf", [found]) if "properties" in part), {})


def numbers(name):
    return {key: number for key, schema in properties(name).items() if (number := number_of(schema))}


def cases():
    for name in sorted(DEFS):
        if name.startswith("step_"):
            kind = name[len("step_"):]
            places = [lambda block, kind=kind: in_step(kind)(block)]
        else:
            places = BLOCKS.get(name, [])
        for key, number in numbers(name).items():
            for value, fits in values(number):
                for place in places:
                    yield f"{name}.{key}", value, fits, place({key: value})


def test_every_block_is_known_here():
    for name in sorted(DEFS):
        if not is_key(name) and not name.startswith("step_") and numbers(name) and name != "inner_workflow":
            assert name in BLOCKS, name


def test_every_number_has_a_range():
    bare = [f"{name}.{key}" for name in DEFS for key, number in numbers(name).items()
            if "minimum" not in number and "exclusiveMinimum" not in number]
    assert bare == []


def whole(case):
    steps = [case["step"]] if "step" in case else [ECHO]
    if steps[0]["type"] in IN_LOOP:
        steps = [{"name": "l", "type": "for_loop", "data_source": [1], "steps": steps}]
    return {"workflow": {"name": "w", "steps": steps, **case.get("workflow", {})}}


CASES = list(cases())


def test_there_are_many():
    assert len(CASES) > 1200, len(CASES)


def test_the_schema_judges_so():
    verdicts = judge([whole(case) for _, _, _, case in CASES])
    wrong = [(name, value, fits, verdict) for (name, value, fits, _), verdict in zip(CASES, verdicts)
             if (verdict is None) != fits]
    assert wrong == [], wrong[:8]


def test_the_validator_judges_so(treadle):
    paths = []
    for i, (_, _, _, case) in enumerate(CASES):
        paths.append(treadle.file(f"{i}.yaml", json.dumps(whole(case))))
    wrong = []
    for start in range(0, len(CASES), 200):
        result = treadle("validate", *paths[start:start + 200], code=2)
        errors = {}
        for name, what in re.findall(r"(\d+)\.yaml:\d+:\d+: error: (.*)", result.err):
            errors.setdefault(int(name), []).append(what)
        for i in range(start, min(start + 200, len(CASES))):
            name, value, fits, _ = CASES[i]
            found = errors.get(i, [])
            told = len(found) == 1 and f"`{name.split('.')[1]}`" in found[0] and "expected" in found[0]
            if fits and found or not fits and not told:
                wrong.append((name, value, fits, found))
    assert wrong == [], wrong[:8]


# ---- values that come late ----

# Keys of every step are known before a run.
EARLY = ("timeout", "timeout_seconds", "timeout_ms", "max_retries", "max_attempts")


def late_cases():
    for name in sorted(DEFS):
        kind = name[len("step_"):]
        if not name.startswith("step_") or kind in IN_LOOP:
            continue
        for key, number in numbers(name).items():
            if key in EARLY and not (key == "timeout" and kind in ("approval", "wait_signal")):
                continue
            for value, fits in values(number):
                if not fits:
                    yield kind, key, value, step_of(kind, key, "{{ inputs.late }}")
    for name, kind, block in [("claude_options", "claude", "claude_options"),
                              ("token_budget", "gemini", "token_budget"),
                              ("session_config", "claude_session", "session_config"),
                              ("extraction_config", "claude_extract", "extraction_config"),
                              ("model_retry", "claude_robust", "retry_config"), ("restart", "parallel", "restart"),
                              ("memory_limits", "pipeline", "memory_limits")]:
        for key, number in numbers(name).items():
            for value, fits in values(number):
                if not fits:
                    inside = {key: "{{ inputs.late }}"}
                    step = step_of(kind, block, inside) if block != "memory_limits" else \
                        step_of(kind, "config", {block: inside})
                    yield kind, key, value, step


LATE = list(late_cases())


def test_late_values_are_judged_alike(treadle):
    """Each is the value of an input of its own, and each step fails by itself."""
    assert len(LATE) > 150
    inputs, steps = {}, []
    for i, (kind, key, value, step) in enumerate(LATE):
        inputs[f"v{i}"] = {"default": value}
        text = json.dumps({**step, "name": f"s{i}", "on_error": "continue"}).replace("inputs.late", f"inputs.v{i}")
        steps.append(json.loads(text))
    path = treadle.file("late.yaml", json.dumps({"workflow": {"name": "late", "inputs": inputs, "steps": steps}}))
    (treadle.cwd / "workspace").mkdir()
    result = treadle("run", path, "--mock", "--json", "--quiet", code=0)
    results = json.loads(result.out)["results"]
    wrong = []
    for i, (kind, key, value, _) in enumerate(LATE):
        error = results[f"s{i}"].get("error") or {}
        message = error.get("message", "")
        if error.get("class") != "invalid" or f"`{key}`" not in message or "expected" not in message or \
                not re.search(r"late\.yaml:\d+:\d+: ", message):
            wrong.append((kind, key, value, results[f"s{i}"]))
    assert wrong == [], '\n'.join(map(str, wrong))


@pytest.mark.parametrize("model, temperature, code", [
    ("anthropic/claude-haiku-4-5", 1.5, 1), ("openai/m", 1.5, 0), ("gemini/g", 1.5, 0), ("openai/m", 2.5, 1),
    ("anthropic/claude-haiku-4-5", 1, 0)])
def test_the_provider_that_comes_late(treadle, model, temperature, code):
    step = {"name": "a", "type": "llm", "model": "{{ inputs.m }}", "prompt": "p", "temperature": "{{ inputs.t }}"}
    path = treadle.file("w.yaml", json.dumps({"workflow": {"name": "w", "inputs": {
        "m": {"default": model}, "t": {"default": temperature}}, "steps": [step]}}))
    result = treadle("run", path, "--mock", "--json", code=code)
    assert code == 0 or "`temperature` is out of range" in json.loads(result.out)["error"]["message"]


def test_text_of_an_undeclared_input_is_a_number(treadle):
    path = treadle.file("w.yaml", """workflow:
  name: w
  steps:
    - {name: a, type: claude, prompt: p, temperature: "{{ inputs.t }}",
       claude_options: {max_tokens: "{{ inputs.n }}"}}
""")
    treadle("run", path, "--mock", "--input", "t=0.5", "--input", "n=100", "--run-id", "r", code=0)
    entered = re.search(r"enter +a +(\{.*\})", treadle("logs", "r", code=0).out)
    assert json.loads(entered[1]) == {"max_tokens": 100, "prompt": "p", "temperature": 0.5}
    treadle("run", path, "--mock", "--input", "t=warm", "--input", "n=100", code=1)
