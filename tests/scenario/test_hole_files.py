"""{{file:PATH}}: a file's text in the middle of a template, read once and recorded."""

FILES = """
workflow:
  name: files
  variables: {dir: notes}
  steps:
    - {name: one, type: test_echo, value: "<{{file:notes/a.txt}}> {{ length(steps) || 1 }}"}
    - name: two
      type: claude
      prompt: "Say {{file:{{ state.dir }}/a.txt}}"
    - {name: gate, type: command, run: test -e open}
    - {name: three, type: set_variable, variables: {kept: "{{file:notes/a.txt}}{{file:notes/a.txt}}"}}
  output: "{{ steps.one }} {{ steps.two.text }} {{ state.kept }}"
"""


def test_files_in_templates(treadle):
    (treadle.cwd / "notes").mkdir()
    treadle.file("w.yaml", FILES.replace(" {{ length(steps) || 1 }}", ""))
    treadle.file("notes/a.txt", "alpha")
    treadle("run", "w.yaml", "--mock", "--run-id", "f", code=1)
    treadle.file("notes/a.txt", "changed")
    (treadle.cwd / "workspace/open").touch()
    got = treadle("resume", "f", "--json", code=0).json
    assert got["output"] == "<alpha> Say alpha changedchanged"


def test_what_is_missing_fails_the_step(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, steps: [{name: a, type: test_echo, value: "{{file:none.txt}}"}]}')
    error = treadle("run", "w.yaml", "--json", code=1).json["error"]
    assert error["step"] == "a" and "none.txt" in error["message"]


def test_where_it_may_stand(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, output: "{{file:a}}", steps: [{name: a, type: test_echo, value: 1}]}')
    assert "can only stand in the keys of a step" in treadle("validate", "w.yaml", code=2).err
