"""data_transform with real files: lines in, lines out, chunk by chunk, and other work beside much data."""
import json

import pytest

from conftest import measured


def test_lines_in_and_out(treadle):
    (treadle.cwd / "workspace").mkdir()
    (treadle.cwd / "workspace" / "in.jsonl").write_text(
        '{"n": 3, "k": "a"}\n\n{"n": 1, "k": "b"}\r\n{"n": 2, "k": "a"}\n')
    (treadle.cwd / "w.yaml").write_text("""
workflow:
  name: w
  steps:
    - name: t
      type: data_transform
      input_source: in.jsonl
      stream_mode: true
      chunk_size: 100
      operations: [{operation: filter, condition: "record.k == 'a'"}, {operation: sort, by: n}]
      output_field: rows
      output_format: jsonl
      output_to_file: out.jsonl
  output: "{{ rows[*].n }}"
""")
    result = treadle("run", "w.yaml", "--json", "--workspace", "workspace", code=0)
    assert result.json["output"] == [2, 3]
    assert (treadle.cwd / "outputs" / "out.jsonl").read_text() == '{"n":2,"k":"a"}\n{"n":3,"k":"a"}\n'


def test_a_file_outside_or_broken(treadle):
    (treadle.cwd / "workspace").mkdir()
    (treadle.cwd / "secret.jsonl").write_text('{"a": 1}\n')
    (treadle.cwd / "workspace" / "bad.jsonl").write_text('{"a": 1}\n{"a":\n')
    for source, why in (("../secret.jsonl", "directory that may be used"),
                        ("bad.jsonl", "line 2 of the file is no JSON")):
        (treadle.cwd / "w.yaml").write_text("workflow: {name: w, steps: [{name: t, type: data_transform, "
                                         f"input_source: {source}, operations: []}}]}}")
        assert why in treadle("run", "w.yaml", "--workspace", "workspace", code=1).err


def test_much_data_holds_up_nothing(treadle):
    (treadle.cwd / "w.yaml").write_text("""
workflow:
  name: w
  steps:
    - name: both
      type: parallel
      branches:
        data:
          - name: t
            type: data_transform
            input_source: "range(1, 150000)"
            operations:
              - {operation: map, expression: "{n: item, k: item % 1000, text: 'row ' + string(item)}"}
              - {operation: filter, condition: "text matches '(1|3|5|7)+$' or n % 2 == 0"}
              - {operation: sort, by: "k desc, n"}
              - {operation: group_by, key: k, aggregate: {n: count, total: "sum(n)"}}
              - {operation: aggregate, value_field: n}
        command: [{name: c, type: command, run: "true"}]
""")
    result = treadle("run", "w.yaml", "--json", "--workspace", "workspace", code=0)
    branches = result.json["results"]["both"]["branches"]
    assert branches["data"]["results"]["t"]["t"] > 75000
    lines = treadle("logs", "last", code=0).out.splitlines()
    command = [i for i, line in enumerate(lines) if "both/command" in line]
    data = [i for i, line in enumerate(lines) if "both/data/t" in line]
    assert command and data and max(command) < max(data), "the command waited for the data"


def op(operation, **keys):
    return {"operation": operation, **keys}


OPERATIONS = [
    [],
    [op("filter", condition="n % 3 == 0")],
    [op("map", expression="{n: item.n, double: n * 2}"), op("filter", condition="double > 9"),
     op("sort", by="double", order="desc")],
    [op("filter", condition="n > least"), op("map", expression="{n: n, at: index}")],
    [op("map", field="k", mapping={"a": "A"}), op("group_by", key="k", aggregate={"n": "count"})],
    [op("sanitize", rules=["trim_whitespace"]), op("unique", field="k")],
    [op("filter", condition="k == 'a'", **{"as": "few"})],
    [op("aggregate", function="sum", value_field="n")],
]


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
def test_a_streamed_file_comes_to_the_same(treadle, number):
    rows = [{"n": i, "k": "abc"[i % 3] + " " * (i % 2), "t": "é" * (i % 5)} for i in range(50)]
    lines = [json.dumps(row) + "\r\n" * (1 + i % 2) for i, row in enumerate(rows)]
    treadle.file("workspace/in.jsonl", "\ufeff" + "".join(lines))
    step = {"type": "data_transform", "input_source": "in.jsonl", "operations": OPERATIONS[number], "output_field": "o"}
    steps = [{"name": "whole", **step},
             *({"name": f"by{n}", **step, "stream_mode": True, "chunk_size": n} for n in (1, 7, 99))]
    file = treadle.file("w.json", {"workflow": {"name": "w", "variables": {"least": 20}, "steps": steps}})
    got = treadle("run", file, "--json", "--workspace", "workspace", code=0).json["results"]
    whole = got.pop("whole")
    for name, result in got.items():
        assert result == whole, name


def test_a_file_of_50_megabytes(treadle):
    line = json.dumps({"text": "x" * 1000, "n": 0})
    treadle.file("workspace/in.jsonl", "".join(line.replace('"n": 0', f'"n": {i}') + "\n" for i in range(50000)))
    step = {"name": "t", "type": "data_transform", "input_source": "in.jsonl", "output_to_file": "few.json",
            "operations": [op("filter", condition="n % 10000 == 1"), op("map", expression="n")]}
    for streams in (False, True):
        file = treadle.file("w.json", {"workflow": {"name": "w", "steps": [{**step, "stream_mode": streams}]}})
        code, _, err, peak = measured(treadle, "run", file, "--workspace", "workspace")
        assert code == (0 if streams else 1), err
        assert streams or "`stream_mode: true` reads larger files" in err
    assert (treadle.cwd / "outputs/few.json").read_text() == "[1,10001,20001,30001,40001]"
    assert peak < 120 * 1024, peak
    print(f"peak memory: {peak} KiB")


def test_a_streamed_file_that_is_broken(treadle):
    treadle.file("workspace/in.jsonl", '{"a": 1}\n\n{"a": 2}\n{"a":\n')
    step = {"name": "t", "type": "data_transform", "input_source": "in.jsonl", "operations": [], "stream_mode": True,
            "chunk_size": 2}
    file = treadle.file("w.json", {"workflow": {"name": "w", "steps": [step]}})
    assert "line 4 of the file is no JSON" in treadle("run", file, "--workspace", "workspace", code=1).err
    file = treadle.file("w.json", {"workflow": {"name": "w", "steps": [{**step, "input_source": "../in.jsonl"}]}})
    assert "outside" in treadle("run", file, "--workspace", "workspace", "--json", code=1).out
