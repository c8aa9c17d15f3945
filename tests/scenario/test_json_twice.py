"""JSON in which an object has a key twice: each program would read another value, so none is read from what is given"""
import json

import pytest

TWICE = '{"a": 1,\n "b": 2, "a": 3}'
SAID = '2:10: the key "a" stands twice in this object (first at 1:2); expected it once'


def run_one(treadle, step, *args, code=1, **more):
    treadle.file("w.yaml", json.dumps({"workflow": {"name": "w", "steps": [{"name": "one", **step}], **more}}))
    return treadle("run", "w.yaml", "--json", "--quiet", *args, code=code)


def test_inputs(treadle):
    show = {"type": "test_echo", "value": "{{ inputs.x }}"}
    declared = {"x": {"type": "object"}}
    treadle.file("in.json", TWICE)
    assert SAID in run_one(treadle, show, "--input", f"x={TWICE}", code=2, inputs=declared).err
    assert SAID in run_one(treadle, show, "--input", "x=@in.json", code=2, inputs=declared).err
    assert SAID in run_one(treadle, show, "--inputs", "in.json", code=2).err


@pytest.mark.parametrize("source", ["a.json", "a.jsonl"])
def test_files_are_not_converted(treadle, source):
    path = treadle.file(f"workspace/{source}", TWICE if source == "a.json" else '{"b": 1}\n{"a": 1, "b": 2, "a": 3}\n')
    step = {"type": "file_ops", "operation": "convert", "source": source, "destination": "b.yaml",
            "format": "json_to_yaml" if source == "a.json" else "jsonl_to_yaml"}
    said = run_one(treadle, step).json["error"]["message"]
    assert (SAID if source == "a.json" else 'line 2: 1:18: the key "a" stands twice') in said, path
    assert not (treadle.cwd / "workspace/b.yaml").exists()


def test_files_are_not_valid(treadle):
    treadle.file("workspace/a.json", TWICE)
    step = {"type": "file_ops", "operation": "validate", "files": [{"path": "a.json", "validate_json": True}]}
    assert SAID in json.dumps(run_one(treadle, step).json["error"], ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize("step", [
    {"type": "for_loop", "data_source": "{{ state.text }}", "steps": [{"name": "a", "type": "test_echo", "value": 1}]},
    {"type": "data_transform", "input_source": "{{ state.text }}", "operations": [{"operation": "sort", "field": "a"}]},
    {"type": "claude_batch", "tasks": "{{ state.text }}"},
    {"type": "test_echo", "value": "{{ parse_json(state.text) }}"}])
def test_texts_are_not_data(treadle, step):
    said = run_one(treadle, step, "--mock", variables={"text": f"[{TWICE}]"}).json["error"]["message"]
    assert '2:10: the key "a" stands twice in this object (first at 1:3)' in said


def test_a_text_that_is_no_json_has_no_fields(treadle):
    step = {"type": "test_echo", "value": {"text": TWICE}}
    treadle.file("w.yaml", json.dumps({"workflow": {"name": "w", "steps": [
        {"name": "one", **step}, {"name": "two", "type": "test_echo", "value": "{{ steps.one.a || 'none' }}"}]}}))
    assert treadle("run", "w.yaml", "--json", code=0).json["results"]["two"] == "none"


def test_a_model_is_asked_again(treadle):
    fixtures = {"fixtures": [{"match": {"turn": 1}, "reply": {"text": TWICE}},
                             {"match": {"turn": 2, "text": "stands twice"}, "reply": {"text": '{"a": 3}'}}],
                "default": "fail"}
    treadle.file("f.json", json.dumps(fixtures))
    step = {"type": "claude", "prompt": "Say.", "output_schema": {"type": "object"}}
    got = run_one(treadle, step, "--mock=f.json", code=0).json["results"]["one"]
    assert got["data"] == {"a": 3} and got["turns"] == 2


def test_fixtures(treadle):
    treadle.file("f.json", '{"default": "fail", "default": "echo"}')
    said = run_one(treadle, {"type": "claude", "prompt": "x"}, "--mock=f.json", code=2).err
    assert 'f.json:1:21: the key "default" stands here a second time' in said


def test_answers(treadle):
    run_one(treadle, {"type": "wait_signal", "signal": "go"}, "--run-id", "r", code=3)
    assert SAID in treadle("signal", "r", "go", TWICE, code=2).err
