"""Workflows in several files: extends, include, $if; their mistakes, and what a run is pinned to."""

BASE = """
workflow:
  name: base
  variables: {a: 1, deep: {x: 1, y: 1}}
  defaults: {timeout: 10m}
  steps:
    - {name: one, type: test_echo, value: "{{ state.a }} {{ state.deep.x }} {{ state.deep.y }}"}
    - {name: gate, type: command, run: test -e open}
    - {name: two, type: test_echo, value: "{{ state.tag }} {{ workflow.name }}"}
"""
MORE = "variables: {tag: included, a: 5}\ndescription: from more\n"
MAIN = """
extends: lib/base.yaml
workflow:
  name: main
  include: [lib/more.yaml]
  variables:
    deep: {y: 2}
    $if: env.STAGE == "prod"
    $then: {a: 9}
"""


def write(treadle):
    (treadle.cwd / "lib").mkdir(exist_ok=True)
    treadle.file("lib/base.yaml", BASE)
    treadle.file("lib/more.yaml", MORE)
    treadle.file("main.yaml", MAIN)


def test_merged_pinned_and_resumed(treadle):
    write(treadle)
    (treadle.cwd / "workspace").mkdir()
    treadle("run", "main.yaml", "--run-id", "m", env={"STAGE": "prod"}, code=1)
    for path in ("main.yaml", "lib/base.yaml", "lib/more.yaml"):
        (treadle.cwd / path).unlink()
    (treadle.cwd / "workspace/open").touch()
    got = treadle("resume", "m", "--json", env={"STAGE": "test"}, code=0).json["results"]
    assert got["one"] == "9 1 2" and got["two"] == "included main"


def test_choices(treadle):
    write(treadle)
    (treadle.cwd / "workspace").mkdir()
    (treadle.cwd / "workspace/open").touch()
    assert treadle("run", "main.yaml", "--json", code=0).json["results"]["one"] == "5 1 2"
    treadle.file("list.yaml", """
workflow:
  name: list
  environment: {mode: test}
  steps:
    - $if: environment.mode == "test"
      $then: [{name: a, type: test_echo, value: 1}, {name: b, type: test_echo, value: 2}]
    - $if: "${LEVEL:-low} == 'high'"
      $then: {name: c, type: test_echo, value: 3}
    - {name: d, type: test_echo, value: 4, $if: env.LEVEL exists, $then: {value: 5}}
""")
    assert treadle("run", "list.yaml", "--json", code=0).json["results"] == {"a": 1, "b": 2, "d": 4}
    high = treadle("run", "list.yaml", "--json", env={"LEVEL": "high"}, code=0).json["results"]
    assert high == {"a": 1, "b": 2, "c": 3, "d": 5}


def test_the_files_may_change_where_resume_is_told_so(treadle):
    write(treadle)
    (treadle.cwd / "workspace").mkdir()
    treadle("run", "main.yaml", "--run-id", "m", code=1)
    treadle.file("lib/base.yaml", BASE.replace("test -e open", "echo open"))
    result = treadle("resume", "m", "--workflow", "main.yaml", "--json", code=0)
    assert "differs from step `gate` on" in result.err and result.json["results"]["two"] == "included main"


def test_mistakes_are_shown_where_they_are(treadle):
    write(treadle)
    treadle.file("lib/base.yaml", BASE.replace("state.deep.x", "state.dep.x"))
    told = treadle("validate", "main.yaml", code=2).err
    assert "lib/base.yaml:7:61: error: unknown variable `dep`; did you mean `deep`?" in told
    line = BASE.split("\n")[6].replace("state.deep.x", "state.dep.x")
    assert f"    {line}\n    {' ' * 60}^" in told, told
    treadle.file("lib/base.yaml", "a: [\n")
    assert "lib/base.yaml:" in treadle("validate", "main.yaml", code=2).err
    treadle.file("lib/base.yaml", "- 1\n")
    assert "this file is a list; expected a map" in treadle("validate", "main.yaml", code=2).err
    (treadle.cwd / "lib/base.yaml").unlink()
    told = treadle("validate", "main.yaml", code=2).err
    assert "main.yaml:2:10: error: cannot read lib/base.yaml" in told


def test_an_error_of_a_run_names_the_file(treadle):
    write(treadle)
    treadle.file("lib/base.yaml", BASE.replace("{{ state.a }}", "{{ 1 / (state.a - 5) }}"))
    told = treadle("run", "main.yaml", code=1).err
    assert "lib/base.yaml:7:" in told


def test_circles_and_depth(treadle):
    treadle.file("a.yaml", "workflow: {name: a, extends: b.yaml}")
    treadle.file("b.yaml", "workflow: {name: b, include: [./x/../a.yaml]}")
    told = treadle("validate", "a.yaml", code=2).err
    assert "b.yaml:1:" in told and "in a circle: a.yaml -> b.yaml -> a.yaml" in told
    for i in range(15):
        treadle.file(f"f{i}.yaml", f"workflow: {{name: f, extends: f{i + 1}.yaml}}")
    assert "10 in a row" in treadle("validate", "f0.yaml", code=2).err


def test_what_if_may_ask(treadle):
    text = "workflow: {name: w, $if: %s, $then: {description: x}, steps: [{name: a, type: test_echo}]}"
    treadle.file("w.yaml", text % "state.x == 1")
    assert "is not known to `$if`" in treadle("validate", "w.yaml", code=2).err
    treadle.file("w.yaml", text % '"env.DEPLOY_TOKEN exists"')
    treadle("run", "w.yaml", "--run-id", "t", env={"DEPLOY_TOKEN": "s3cret"}, code=0)
    home = treadle.home
    assert not any(b"s3cret" in p.read_bytes() for p in home.rglob("*") if p.is_file())


def test_prompt_files_are_looked_for(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: a, type: claude, prompt: [{type: file, path: missing.txt}]}
""")
    assert "w.yaml:5:59: error: prompt file `missing.txt`" in treadle("validate", "w.yaml", code=2).err
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: make, type: command, run: "echo hello > made.txt"}
    - {name: a, type: claude, prompt: [{type: file, path: made.txt}]}
""")
    assert "warning: prompt file `made.txt`" in treadle("validate", "w.yaml", code=0).err
    assert treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]["a"]["text"] == "hello"


def test_a_called_workflow_is_pinned_with_what_it_extends(treadle):
    write(treadle)
    (treadle.cwd / "workspace").mkdir()
    treadle.file("caller.yaml", "workflow: {name: caller, steps: [{name: call, type: pipeline, "
                 "pipeline_file: main.yaml}]}")
    treadle("run", "caller.yaml", "--run-id", "c", code=1)
    for path in ("main.yaml", "lib/base.yaml", "lib/more.yaml"):
        (treadle.cwd / path).unlink()
    for gate in treadle.cwd.rglob("workspace"):
        (gate / "open").touch()
    for gate in treadle.cwd.rglob("nested*"):
        if gate.is_dir():
            (gate / "open").touch()
    result = treadle("resume", "c", "--json")
    assert "lib/base.yaml" not in result.err and "cannot be read" not in result.err
    assert result.json["status"] == "succeeded", result


PARTS = """
x-shared: &polite {type: test_echo, value: "please {{ step.variables.what }}"}
components:
  greet: {type: test_echo, value: "hello {{ step.variables.what }}"}
  review: &review
    <<: *polite
    expected_outputs: {result: "please review"}
variables: {who: parts}
"""
USES = """
include: lib/parts.yaml
workflow:
  name: uses
  steps:
    - {<<: *review, name: a, variables: {what: review}}
    - {<<: *greet, name: b, variables: {what: "{{ who }}"}}
    - <<: *polite
      name: c
      variables: {what: sit}
    - {<<: &own {type: test_echo}, name: d, value: 1}
    - {<<: *own, name: e, value: 2}
"""


def test_anchors_and_components_of_included_files(treadle):
    (treadle.cwd / "lib").mkdir()
    treadle.file("lib/parts.yaml", PARTS)
    treadle.file("uses.yaml", USES)
    got = treadle("run", "uses.yaml", "--run-id", "u", "--json", code=0).json["results"]
    assert got == {"a": "please review", "b": "hello parts", "c": "please sit", "d": 1, "e": 2}
    (treadle.cwd / "lib/parts.yaml").unlink()  # the run is pinned to it
    assert treadle("fork", "u", "--from", "b", "--json", code=0).json["results"] == got


def test_anchors_through_several_files(treadle):
    """A file sees what its includes have, and what they have from theirs; what it says itself goes before."""
    treadle.file("a.yaml", "variables: {x: &x 1, y: &y 2}\n")
    treadle.file("b.yaml", "include: a.yaml\nvariables: {x: &x 10, z: *y}\n")
    treadle.file("main.yaml", "include: b.yaml\nworkflow:\n  name: w\n  steps:\n"
                 "    - {name: a, type: test_echo, value: [*x, *y, \"{{ z }}\"]}\n")
    assert treadle("run", "main.yaml", "--json", code=0).json["results"]["a"] == [10, 2, 2]


def test_an_alias_that_no_file_has(treadle):
    treadle.file("a.yaml", "variables: {x: &x 1}\n")
    treadle.file("main.yaml", "include: a.yaml\nworkflow:\n  name: w\n  steps:\n"
                 "    - {name: a, type: test_echo, value: *y}\n")
    told = treadle("validate", "main.yaml", code=2).err
    assert "main.yaml:5:41: error: the alias *y has no anchor" in told and "or in a file that it includes" in told
    assert told.count("error:") == 1
    treadle.file("main.yaml", "include: gone.yaml\nworkflow:\n  name: w\n  steps: *s\n")
    told = treadle("validate", "main.yaml", code=2).err
    assert "main.yaml:1:10: error" in told and told.count("error:") == 1


def test_places_in_anchors_of_other_files(treadle):
    treadle.file("a.yaml", "components:\n  bad: &bad\n    type: test_echo\n    valu: 1\n")
    treadle.file("main.yaml", "include: a.yaml\nworkflow:\n  name: w\n  steps:\n    - {<<: *bad, name: a}\n")
    told = treadle("validate", "main.yaml", code=2).err
    assert "a.yaml:4:5: error: unknown key `valu`" in told


def test_a_workflow_found_in_the_run_may_have_several_files(treadle):
    """Its files are read as it is, recorded, and lead nowhere that a step must not choose."""
    treadle.file("parts/base.yaml", "include: more.yaml\nworkflow:\n  variables: {x: &x 5}\n"
                 "  steps: [{name: gate, type: command, run: test -e open},\n"
                 "          {name: a, type: test_echo, value: '{{ x + y }}'}]\n")
    treadle.file("parts/more.yaml", "variables: {y: 2}\n")
    treadle.file("kid.yaml", "extends: parts/base.yaml\nworkflow: {name: kid, output: '{{ steps.a }}'}\n")
    main = treadle.file("main.yaml", """
workflow:
  name: main
  steps:
    - {name: plan, type: test_echo, value: kid.yaml}
    - {name: call, type: pipeline, pipeline_file: "{{ steps.plan }}"}
""")
    (treadle.cwd / "workspace").mkdir()
    treadle("run", main, "--run-id", "m", code=1)
    for path in ("kid.yaml", "parts/base.yaml", "parts/more.yaml"):
        (treadle.cwd / path).unlink()
    (treadle.cwd / "workspace/open").touch()
    assert treadle("resume", "m", "--json", code=0).json["results"]["call"] == 7
    treadle.file("kid.yaml", "extends: ../out.yaml\nworkflow: {name: kid}\n")
    (treadle.cwd.parent / "out.yaml").write_text("workflow: {steps: [{name: a, type: test_echo}]}\n")
    error = treadle("run", main, "--json", code=1).json["error"]
    assert "out.yaml" in error["message"] and error["class"] in ("invalid", "not_found"), error
