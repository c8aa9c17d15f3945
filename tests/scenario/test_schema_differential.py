"""The published schema and the validator say the same: thousands of small workflows, each judged by both.

Each key of each table gets values of every kind: right, of a wrong type, out of range, a template, an unknown word,
nothing; it is left out; it is misspelt. What `treadle validate` accepts without a word, the schema accepts. What it
refuses, the schema refuses, but for what a schema cannot say: MEANING has these, each with its reason. The schema is
judged by Python's jsonschema and has to be of a draft that editors' language servers understand.
"""
import collections
import copy
import json
import re
import subprocess

import pytest
import yaml

from conftest import ROOT, program
from test_workflow_schema import BROKEN, Loader, shown

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json.loads((ROOT / "docs/workflow.schema.json").read_text())
TABLES = SCHEMA["definitions"]
WHOLE = jsonschema.Draft7Validator(SCHEMA)

ECHO = [{"name": "b", "type": "test_echo"}]
LEAST = {  # the keys that a step of the type must have
    **{name: {"prompt": "x"} for name in ("claude", "gemini", "claude_smart", "claude_session", "claude_extract",
                                          "claude_robust", "gemini_instructor")},
    "llm": {"prompt": "x", "model": "openai/m"}, "claude_batch": {"tasks": [{"id": "t", "prompt": "x"}]},
    "parallel_claude": {"tasks": [{"id": "t", "prompt": "x"}]}, "command": {"run": "true"},
    "for_loop": {"data_source": [1], "steps": ECHO}, "while_loop": {"condition": "1 < 0", "steps": ECHO},
    "break": {}, "continue": {}, "switch": {"expression": "1", "cases": {"1": ECHO}},
    "parallel": {"branches": {"p": ECHO}}, "pipeline": {"pipeline": {"name": "i", "steps": ECHO}},
    "set_variable": {"variables": {"v": 1}}, "checkpoint": {}, "approval": {"message": "m"},
    "data_transform": {"input_source": "inputs.x", "operations": [{"operation": "sort", "by": "a"}]},
    "wait_signal": {"signal": "s"}, "sleep": {"for": 1}, "file_ops": {"operation": "list"},
    "codebase_query": {"queries": {"q": {"find_files": {}}}}, "test_echo": {},
}
PARTS = {"static": {"content": "x"}, "file": {"path": "x"}, "previous_response": {"step": "x"}, "session_context": {},
         "claude_continue": {"new_prompt": "x"}, "variable": {"name": "x"}}
VALUES = [True, 0, -1, 2, 1.5, 10**15, "word", "5s", "10 parsecs", "99999999999999d", "{{ inputs.x }}",
          "a {{ inputs.x }} b", "", None, [], {}, ["a"], [1], [{}], {"nope": 1}, {"a": "b"}]
TYPED = ("claude", "for_loop")  # the keys of every step are tried on these
OPAQUE = {"steps", "step", "workflow", "inner_workflow", "exchanges", "tasks", "task", "on_error", "prompt_part"}

MEANING = {
    "files that must be there": "cannot (be )?read",
    "names, and what is known of them": "no step|unknown (step|name|tool|function|type)|itself|its own result|"
                                        "the name of|has no step|none of the choices|is declared|does not list|"
                                        "class of errors|there is no|named relative to it",
    "expressions": "expected an? (operator|expression)|an expression,|one condition, not a list|unexpected `|"
                   "a condition as a map has one key",
    "what excludes, or calls for, another key": "say what|neither|has both|mean the same|makes items for|no `prompt`|"
                                                "does not say|needs `|has no tasks|no `model`|"
                                                "goes through its items in turn|the operation `|of the operation|"
                                                "described but not asked for",
    "schemas inside": "is no type|no `properties`",
    "texts of a form that is told by its parts": "`until` is no time|PROVIDER/MODEL|`mock_error` has",
    "what is in a list, or in a map with names of its own": r"the delay of|unknown key .* of step `task`|a task is|"
                                                            r"\(claude\) has no|has no `steps`|the query `",
    "empty text": "is empty; expected",
}


def with_path(root, path, value):
    """root with the value at the path, whose last key may be new."""
    root = at = copy.deepcopy(root)
    for key, below in zip(path, path[1:]):
        if not isinstance(key, int) and not isinstance(at.get(key), list if below == 0 else dict):
            at[key] = [{}] if below == 0 else {}
        at = at[key]
    at[path[-1]] = copy.deepcopy(value)
    return root


def target(node):
    return TABLES[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def objects(node, above=()):
    """(path, properties) of the maps that a key's value may be."""
    node = target(node)
    if id(node) in above:
        return
    above = (*above, id(node))
    if "properties" in node:
        yield (), node["properties"]
    for one in node.get("anyOf", []) + node.get("allOf", []):
        yield from objects(one, above)
    for step, key in (((0,), "items"), (("k",), "additionalProperties")):
        if isinstance(node.get(key), dict):
            for path, properties in objects(node[key], above):
                yield step + path, properties


def paths(properties, seen, before=()):
    """Each key and, once, those of each block below it."""
    for key, node in properties.items():
        yield before + (key,), target(node)
        below = set(re.findall(r'"#/definitions/(\w+)"', json.dumps(target(node))))
        if len(before) > 5 or below & OPAQUE or (below and below <= seen):
            continue
        seen |= below
        for path, inner in objects(node):
            yield from paths(inner, seen, before + (key,) + path)


def words(node):
    """The words that a key may be."""
    if isinstance(node, list):
        return [word for one in node for word in words(one)]
    if not isinstance(node, dict):
        return []
    return [word for word in node.get("enum", []) if word is not None] + words(
        [one for key, one in node.items() if key in ("anyOf", "allOf", "items")])


def tried(base, properties, seen):
    for path, node in paths(properties, seen):
        if path != ("type",):
            for value in VALUES + words(node):
                yield path, with_path(base, path, value)
            yield path, with_path(base, path[:-1] + (f"{path[-1]}x",), 1)
    for key in base:
        yield (key,), {name: value for name, value in base.items() if name != key}


def cases():
    """(what, workflow)"""
    seen, common = set(), {key[len("every_"):] for key in TABLES if key.startswith("every_")}
    plain = {"name": "w", "inputs": {"x": {"default": "a"}}, "steps": ECHO}
    for name, least in LEAST.items():
        properties = TABLES[f"step_{name}"]["properties"]
        for path, step in tried({"name": "a", "type": name, **least}, properties, seen):
            if path[0] in common - set(least) and name not in TYPED:
                continue
            if name in ("break", "continue"):
                step = {"name": "l", "type": "for_loop", "data_source": [1], "steps": [step]}
            yield (name, path), {"workflow": {**plain, "steps": [step]}}
    for kind, least in PARTS.items():
        for path, part in tried(least, TABLES[f"part_{kind}"]["properties"], seen):
            step = {"name": "a", "type": "claude", "prompt": [{"type": kind, **part}]}
            yield (kind, path), {"workflow": {**plain, "steps": [step]}}
    for path, workflow in tried(plain, TABLES["workflow"]["properties"], seen):
        yield ("workflow", path), {"workflow": workflow}


def validated(directory, texts):
    """The problems that the validator has with each."""
    found, names = collections.defaultdict(list), [f"{i}.yaml" for i in range(len(texts))]
    for name, text in zip(names, texts):
        (directory / name).write_text(text)
    for first in range(0, len(names), 100):
        command = [program("treadle"), "validate", "--json", "--quiet", *names[first:first + 100]]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
        for problem in json.loads(done.stdout)["problems"]:
            found[problem["file"]].append(problem)
    return [found[name] for name in names]


def test_it_is_of_a_draft_that_editors_know():
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA)
    named = set(re.findall(r'"#/definitions/(\w+)"', text))
    assert named == set(TABLES)
    alone = [node for node in walk(SCHEMA) if "$ref" in node and len(node) > 1]
    assert alone == []  # that draft does not see what stands beside a reference


def walk(node):
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from walk(one)
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node


def test_every_key_is_described():
    silent = [f"{name}.{key}" for name, table in TABLES.items()
              for _, properties in objects(table) for key, node in properties.items()
              if "description" not in target(node) and "$ref" not in node and name not in ("on_error", "condition")
              and key not in ("workflow", "operation", "goto", "steps")]
    assert silent == []


def test_every_key_with_every_kind_of_value(tmp_path):
    checkers = {name: WHOLE.evolve(schema=table) for name, table in TABLES.items()}
    all_cases = list(cases())
    assert {f"step_{name}" for name in LEAST} == {
        name for name, table in TABLES.items() if name.startswith("step_") and "properties" in table}
    assert len(all_cases) > 10000 and {what[0] for what, _ in all_cases} == {*LEAST, *PARTS, "workflow"}
    problems = validated(tmp_path, [json.dumps(document) for _, document in all_cases])
    kept_out, let_in = [], []
    for (what, document), told in zip(all_cases, problems):
        if what[0] == "workflow":
            good = WHOLE.is_valid(document)
        elif what[0] in LEAST and f"every_{what[1][0]}" not in TABLES and what[0] not in ("break", "continue"):
            good = checkers[f"step_{what[0]}"].is_valid(document["workflow"]["steps"][0])
        else:
            good = all(checkers["step"].is_valid(one) for one in document["workflow"]["steps"])
        errors = [problem["message"] for problem in told if problem["severity"] == "error"]
        plain = [error for error in errors if not any(re.search(pattern, error) for pattern in MEANING.values())]
        if good and plain:
            let_in.append(f"let in: {what} {plain[0]} {json.dumps(document)[60:]}")
        if not good and not told:
            kept_out.append(f"kept out: {what} {json.dumps(document)[60:]}")
    assert not kept_out + let_in, "\n".join(kept_out + let_in)


def test_files_that_are_valid_without_a_word(tmp_path):
    texts = [text for _, text in shown()] + [path.read_text() for path in sorted(BROKEN.glob("*.yaml"))]
    texts += [entry["file"] for path in sorted((BROKEN.parent / "documented").glob("*.yaml"))
              for entry in yaml.safe_load(path.read_text()) if "file" in entry]
    wrong, judged = [], 0
    for text, told in zip(texts, validated(tmp_path, texts)):
        if told and not all("no file" in problem["message"] for problem in told):
            continue
        judged += 1
        wrong += [(text, error.message) for error in WHOLE.iter_errors(yaml.load(text, Loader))]
    assert judged > 100 and wrong == []
