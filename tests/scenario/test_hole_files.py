"""{{file:PATH}}: a file's text in the middle of a template, read once and recorded."""
import pytest

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
    step = '{name: a, type: test_echo, value: "{{file:{{ \'none.txt\' }}}}"}'
    treadle.file("w.yaml", f"workflow: {{name: w, steps: [{step}]}}")
    error = treadle("run", "w.yaml", "--json", code=1).json["error"]
    assert error["step"] == "a" and "none.txt" in error["message"]


def test_what_is_written_out_and_missing_is_found_before(treadle):
    """Together with whatever else is wrong, unless a step may make the file."""
    steps = """workflow:
  name: w
  steps:
    - {name: a, type: test_echo, value: "{{file:none.txt}}"}
    - {name: b, type: claude, prompt: [{type: file, path: gone.md}, {type: static, content: "{{file:none.txt}}"}]}
"""
    for more, wrong in (("", []), ("    - {name: c, type: test_echo, vlue: 1}\n", ["unknown key `vlue`"])):
        treadle.file("w.yaml", steps + more)
        said = treadle("validate", "w.yaml", code=2).err
        for place in ("4:42: error: prompt file `none.txt`", "5:59: error: prompt file `gone.md`",
                      "5:94: error: prompt file `none.txt`", *wrong):
            assert place in said, said
        assert treadle("run", "w.yaml", "--mock", code=2).err.count("error:") == 3 + len(wrong)
    treadle.file("w.yaml", steps + "    - {name: c, type: command, run: touch none.txt}\n")
    assert "warning: prompt file `none.txt`" in treadle("validate", "w.yaml", code=0).err


def test_where_it_may_stand(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, output: "{{file:a}}", steps: [{name: a, type: test_echo, value: 1}]}')
    assert "can only stand in the keys of a step" in treadle("validate", "w.yaml", code=2).err


READS = {
    "hole": 'type: test_echo, value: "{{file:{{ %s }}}}"',
    "part": 'type: claude, prompt: [{type: file, path: "{{ %s }}"}]',
    "parts": 'type: claude, prompt: [{type: file, path: "{{ %s }}*"}]',
    "task": 'type: parallel_claude, parallel_tasks: [{id: x, prompt: [{type: file, path: "{{ %s }}"}]}]',
    "tasks": 'type: claude_batch, prompt: read, tasks: "{{ [{\'id\': \'x\', \'prompt\': \'\', \'file\': %s}] }}"',
}


@pytest.mark.parametrize("step", READS.values(), ids=READS.keys())
@pytest.mark.parametrize("path", ["../secret.txt", "{cwd}/secret.txt", "link.txt", "links/secret.txt"])
def test_what_a_step_says_names_no_files_outside(treadle, step, path):
    treadle.file("secret.txt", "the secret")
    treadle.file("ws/x", "")
    treadle.file("in/x", "")
    (treadle.cwd / "in/link.txt").symlink_to(treadle.cwd / "secret.txt")
    (treadle.cwd / "in/links").symlink_to(treadle.cwd)
    path = path.format(cwd=treadle.cwd)
    treadle.file("in/w.yaml", "workflow: {name: w, steps: [{name: model, type: test_echo, value: {path: %s}}, "
                 "{name: a, %s}]}"
                 % (path, step % "steps.model.path"))
    got = treadle("run", "w.yaml", "--mock", "--json", "--workspace", "../ws", cwd=treadle.cwd / "in", code=1)
    assert "the secret" not in got.out and got.json["error"]["step"].startswith("a")


@pytest.mark.parametrize("step", READS.values(), ids=READS.keys())
@pytest.mark.parametrize("name", ["config", "environment", "date"])
def test_a_name_of_the_engine_is_not_trusted_where_the_workflow_means_its_own(treadle, step, name):
    """An iterator called `config` has what a step said, whatever the engine calls so elsewhere."""
    treadle.file("secret.txt", "the secret")
    treadle.file("ws/x", "")
    treadle.file("in/w.yaml", "workflow: {name: w, steps: [{name: model, type: test_echo, value: [../secret.txt]}, "
                 "{name: each, type: for_loop, iterator: %s, data_source: steps.model, steps: [{name: a, %s}]}]}"
                 % (name, step % name))
    got = treadle("run", "w.yaml", "--mock", "--json", "--workspace", "../ws", cwd=treadle.cwd / "in", code=1)
    assert "the secret" not in got.out, got.out


@pytest.mark.parametrize("step", READS.values(), ids=READS.keys())
@pytest.mark.parametrize("path", ["note.txt", "{cwd}/ws/note.txt", "{cwd}/in/note.txt"])
def test_what_a_step_says_names_files_inside(treadle, step, path):
    treadle.file("in/x", "")
    treadle.file("ws/note.txt" if "ws" in path else "in/note.txt", "a note")
    treadle.file("ws/x", "")
    treadle.file("flows/w.yaml", "workflow: {name: w, steps: [{name: model, type: test_echo, value: {path: %s}}, "
                 "{name: a, %s}]}"
                 % (path.format(cwd=treadle.cwd), step % "steps.model.path"))
    got = treadle("run", "../flows/w.yaml", "--mock", "--json", "--workspace", "../ws", cwd=treadle.cwd / "in", code=0)
    assert "a note" in got.out


def test_whoever_starts_a_run_names_files_anywhere(treadle):
    """Its inputs, as its workflow, are the user's own."""
    treadle.file("secret.txt", "my own file")
    treadle.file("in/w.yaml", """
workflow:
  name: w
  inputs: {f: {type: string, required: true}}
  steps:
    - {name: a, type: test_echo, value: "{{file:{{ inputs.f }}}}"}
    - {name: b, type: claude, prompt: [{type: file, path: "{{ inputs.f }}"}]}
""")
    got = treadle("run", "w.yaml", f"f={treadle.cwd}/secret.txt", "--mock", "--json", cwd=treadle.cwd / "in", code=0)
    assert got.json["results"]["a"] == got.json["results"]["b"]["text"] == "my own file"
