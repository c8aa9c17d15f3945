"""data_transform with real files: lines in, lines out, and other work beside much data."""


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
