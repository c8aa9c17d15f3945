"""`treadle run --dry-run`: the plan of a workflow, with nothing done: no call, no command, no file, no journal."""
PLAN = """
workflow:
  name: plan
  inputs: {word: {type: string, default: loom}}
  steps:
    - {name: touch, type: command, run: "touch touched; echo hi"}
    - {name: read, type: claude, system: Be brief, model: haiku,
       prompt: [{type: static, content: "Explain {{ inputs.word }}"}, {type: file, path: notes.txt}]}
    - name: loop
      type: for_loop
      data_source: [a, b]
      steps:
        - name: ask
          type: gemini
          model: gemini-2.5-pro
          prompt: "Say {{ loop.item }}"
          output_to_file: "{{ loop.item }}.md"
    - {name: never, type: claude, prompt: x, condition: "steps.touch.exit_code == 1"}
    - {name: pause, type: sleep, for: 10h}
    - {name: ok, type: approval, message: "Go?", choices: [go, stop]}
    - {name: last, type: test_echo, value: "{{ steps.ok.choice }}"}
"""


def listing(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if not p.name.startswith("."))


def test_the_plan(treadle, fake_provider):
    treadle.file("plan.yaml", PLAN)
    treadle.file("notes.txt", "x" * 4000)
    before = listing(treadle.cwd)
    result = treadle("run", "plan.yaml", "--dry-run", "--json", "word=shuttle", code=0)
    assert listing(treadle.cwd) == before
    assert treadle("ps", "--all", code=0).out.count("plan") == 0
    got = result.json
    assert got["status"] == "complete" and got["dry_run"] is True
    models = [e for e in got["plan"] if e["kind"] == "model"]
    assert [m["path"] for m in models] == ["read/turn:1", "loop/0/ask/turn:1", "loop/1/ask/turn:1"]
    assert models[0]["prompt"].startswith("Explain shuttle\n\nxxx") and models[0]["system"] == "Be brief"
    assert 1000 <= models[0]["input_tokens"] <= 1100 and models[0]["model"] != "haiku"
    assert models[1]["prompt"] == "Say a" and models[1]["cost_usd"] > 0
    [command] = [e["command"] for e in got["plan"] if e["kind"] == "command"]
    assert "touch touched; echo hi" in command
    assert [e["file"] for e in got["plan"] if e["kind"] == "write"] == ["a.md", "b.md"]
    assert [e["path"] for e in got["plan"] if e["kind"] == "skipped"] == ["never"]
    total = got["totals"]
    assert (total["calls"], total["commands"], total["files"]) == (3, 1, 2)
    assert total["cost_usd"] == round(sum(m["cost_usd"] for m in models), 9)
    assert total["input_tokens"] == sum(m["input_tokens"] for m in models)


def test_for_people(treadle):
    treadle.file("plan.yaml", PLAN)
    treadle.file("notes.txt", "some notes")
    out = treadle("run", "plan.yaml", "--dry-run", code=0).out
    assert "read/turn:1" in out and "Explain loom" in out and "3 calls of models" in out
    assert "Nothing of it was done" in out
    assert "Go? (go, stop)" in out


def test_where_made_up_answers_do_not_suffice(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: a, type: claude, prompt: List files as JSON}
    - {name: b, type: test_echo, value: "{{ steps.a.data.files[0] }}"}
""")
    result = treadle("run", "w.yaml", "--dry-run", code=1)
    assert "The plan ends here, for the answers are made up: b: " in result.out
    assert treadle("run", "w.yaml", "--dry-run", "--json", code=1).json["error"]["class"] == "expression"
    treadle.file("f.yaml", "fixtures: [{match: {step: a}, reply: {json: {files: [x]}}}]")
    schema = "{type: object, properties: {files: {type: array}}}"
    treadle.file("w.yaml", (treadle.cwd / "w.yaml").read_text().replace(
        "List files as JSON", "x, output_schema: " + schema))
    assert treadle("run", "w.yaml", "--dry-run", "--mock=f.yaml", "--json", code=0).json["status"] == "complete"


def test_wrong_inputs_and_workflows_are_refused_as_in_a_run(treadle):
    treadle.file("w.yaml", "workflow: {name: w, inputs: {n: {type: integer, required: true}}, "
                 "steps: [{name: a, type: test_echo, value: 1}]}")
    assert "input `n` is required" in treadle("run", "w.yaml", "--dry-run", code=2).err
    treadle.file("e.yaml", "workflow: {name: w, steps: [{name: a, type: loop, iterations: forever}]}")
    assert treadle("run", "e.yaml", "--dry-run", code=2).out == ""


def test_an_endless_plan_is_cut_off(treadle):
    treadle.file("w.yaml", "workflow: {name: w, steps: [{name: l, type: while_loop, condition: 'true', "
                 "max_iterations: 100000, steps: [{name: a, type: command, run: ls}]}]}")
    out = treadle("run", "w.yaml", "--dry-run", "--json", code=0).json
    assert out["status"] == "cut off" and out["totals"]["commands"] == 10000


def test_a_plan_that_ends_in_the_output_names_its_place(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, output: "{{ steps.a.data.x }}", '
                 'steps: [{name: a, type: claude, prompt: p}]}')
    got = treadle("run", "w.yaml", "--dry-run", code=1)
    assert "The plan ends here, for the answers are made up: w.yaml:1:33: `steps.a` has no field" in got.out


LISTS = """
workflow:
  name: lists
  steps:
    - {name: find, type: file_ops, operation: list, path: docs, pattern: "*.md"}
    - name: each
      type: for_loop
      data_source: steps.find.files
      steps: [{name: ask, type: claude, prompt: [{type: file, path: "{{ item.path }}"}]}]
    - {name: code, type: codebase_query, queries: {tests: {find_files: {type: test}}}}
    - {name: none, type: for_loop, data_source: steps.code.tests, steps: [{name: x, type: test_echo, value: 1}]}
    - {name: save, type: file_ops, operation: copy, source: docs/a.md, destination: kept/}
    - {name: words, type: command, run: [wc, -l, "two words", "it's", ""]}
    - {name: keep, type: checkpoint, state: {a: 1}}
"""


def test_files_of_the_workspace_are_really_listed(treadle):
    treadle.file("w.yaml", LISTS)
    for name in ("a", "b"):
        treadle.file(f"workspace/docs/{name}.md", f"text {name}")
    before = listing(treadle.cwd)
    out = treadle("run", "w.yaml", "--dry-run", code=0).out
    assert listing(treadle.cwd) == before
    assert "2 calls of models" in out and "text a" in out and "text b" in out, out
    assert "no items with these answers" in out and "effect    copy docs/a.md to kept/" in out, out
    assert "command   wc -l 'two words' 'it'\\''s' ''" in out and "{" not in out, out
    assert treadle("run", "w.yaml", "--dry-run", "--json", "--workspace", "none", code=0).json["totals"]["calls"] == 0
