"""Prompt parts, judged by the prompts that the provider saw."""
import pytest


def ask(*prompt, **more):
    return {"name": "ask", "type": "claude", "prompt": list(prompt), **more}


def echo(name, value):
    return {"name": name, "type": "test_echo", "value": value}


def said(request):
    contents = [m["content"] for m in request["body"]["messages"]]
    return [c if isinstance(c, str) else c[0]["text"] for c in contents]


@pytest.fixture
def prompts(treadle, fake_provider):
    """Runs steps; the prompts that were sent (each a list of messages)."""
    def go(*steps, code=0, script=None, **more):
        provider = fake_provider(script=script)
        file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": list(steps), **more}})
        result = treadle("run", file, "--json", "--quiet", env=provider.env, code=code)
        go.result = result.json if code == 0 or result.out.strip() else None
        go.err = result.err
        return [said(r) for r in provider.requests()]
    return go


def part(kind, **more):
    return {"type": kind, **more}


TOPIC = echo("look", {"text": "It says {NAME} and {{{{ inputs.x }}.", "list": [{"n": 1}, {"n": 2}], "a": {"b": [4, 5]}})


@pytest.mark.parametrize("one, sees", [
    (part("static", content="a {{ v.k }}"), "a 7"),
    (part("dynamic", content="b"), "b"),
    (part("static", content="a {{ v.k }} {x}", raw=True), "a {{ v.k }} {x}"),
    (part("static", content="{{#if v.k}}yes{{else}}no{{/if}}"), "yes"),
    (part("variable", name="v.k"), "7"),
    (part("variable", name="v"), '{\n  "k": 7\n}'),
    (part("previous_response", step="look"), "It says {NAME} and {{ inputs.x }}."),
    (part("previous_response", step="look", extract="a.b[1]"), "5"),
    (part("previous_response", step="look", extract="list[*].n"), "[\n  1,\n  2\n]"),
    (part("previous_response", step="look", extract="$.list[?@.n > 1].n"), "[\n  2\n]"),
    (part("previous_response", step="look", extract="$.a.b[0]"), "4"),
    (part("previous_response", step="look", max_length=7), "It says"),
    (part("previous_response", step="look", extract="list", transform="json_to_markdown"),
     "| n |\n| --- |\n| 1 |\n| 2 |"),
    (part("previous_response", step="look", extract="a", transform="json_to_markdown"), "## b\n\n- 4\n- 5"),
    (part("previous_response", step="umlauts", max_length=2), "\u00fc\u00f6"),
    (part("previous_response", step="links", extract_with="content_extractor", format="structured",
          post_processing=["extract_links"]),
     "## Extracted Content\n\nSee https://a.example/x.\n\n## Links\n\n- https://a.example/x"),
    (part("previous_response", step="links", extract_with="content_extractor", format="markdown",
          include_metadata=True),
     "# Extracted Content\n\nSee https://a.example/x.\n\n## Metadata\n\n- step: links\n- format: markdown\n"
     "- original_length: 24\n- processed_length: 45"),
])
def test_parts(prompts, one, sees):
    sent = prompts(TOPIC, echo("umlauts", {"text": "\u00fc\u00f6\u00e4"}),
                   echo("links", {"text": "See https://a.example/x."}), ask(one), variables={"v": {"k": 7}})
    assert sent == [[sees]]


@pytest.mark.parametrize("text, variables, sees", [
    ("Hello {WHO}!", {"WHO": "you"}, "Hello you!"),
    ("{A} {B} {\"json\": {\"a\": 1}} {{A}} {a b} {", {"A": 1}, "1 {B} {\"json\": {\"a\": 1}} {{A}} {a b} {"),
    ("{A}", {"A": {"k": [1]}}, '{\n  "k": [\n    1\n  ]\n}'),
    ("{A} {B}", {"A": "{B}", "B": "{A}"}, "{B} {A}"),
    ("x\n{if MODE == \"strict\"}\nBe strict.\n{else}\nBe kind.\n{endif}\ny", {"MODE": "strict"}, "x\nBe strict.\ny"),
    ("x\n{if MODE == \"strict\"}\nBe strict.\n{else}\nBe kind.\n{endif}\ny", {"MODE": "no"}, "x\nBe kind.\ny"),
    ("{if A != 'x'}{if B}both {B}{endif}{endif}.", {"A": "y", "B": 2}, "both 2."),
    ("{if NONE}a{endif}b", {"A": 1}, "b"),
    ("{{ inputs.x }} {{#if y}}", {"A": 1}, "{{ inputs.x }} {{#if y}}"),
    ("{A} {if A == \"x\"}p{endif}", None, "{A} {if A == \"x\"}p{endif}"),
])
def test_places_of_prompt_files(treadle, prompts, text, variables, sees):
    treadle.file("p.md", text)
    more = {} if variables is None else {"variables": variables}
    assert prompts(ask(part("file", path="p.md", **more))) == [[sees]]


def test_a_condition_that_is_never_closed(treadle, prompts):
    treadle.file("p.md", "a\n{if A}\nb")
    prompts(ask(part("file", path="p.md", variables={"A": 1})), code=1)
    assert "p.md: line 2: this {if \u2026} is never closed; expected {endif}" in prompts.result["error"]["message"]


def test_parts_injected_into_files_before_and_after(treadle, prompts):
    treadle.file("p.md", "Plan: {PLAN}. Notes: {NOTES}. {OTHER}")
    treadle.file("n.md", "my {THING} {PLAN}")
    sent = prompts(echo("plan", {"text": "do {NOTES}"}),
                   ask(part("file", path="n.md", inject_as="NOTES", variables={"THING": "notes"}),
                       part("file", path="p.md"),
                       part("previous_response", step="plan", inject_as="PLAN"),
                       part("static", content="nowhere", inject_as="LOST"),
                       part("static", content="gone", inject_as="OTHER", condition=False),
                       part("static", content="end")))
    assert sent == [["Plan: do {NOTES}. Notes: my notes {PLAN}. \n\nnowhere\n\nend"]]


def test_encodings_tables_and_directories(treadle, prompts):
    (treadle.cwd / "l1.txt").write_bytes("gr\u00fcn".encode("latin-1"))
    (treadle.cwd / "u16.txt").write_bytes("\ufeffz\u00fcrich \U0001f600".encode("utf-16-le"))
    treadle.file("t.csv", "a,b\n1,\"x|y\nz\"\n")
    treadle.file("dir/one.txt", "first")
    sent = prompts(ask(part("file", path="l1.txt", encoding="latin-1"), part("file", path="u16.txt", encoding="utf-16"),
                       part("file", path="t.csv", transform="csv_to_table"), part("file", path="dir")))
    assert sent == [["gr\u00fcn\n\nz\u00fcrich \U0001f600\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y z |\n\n"
                     "=== dir/one.txt ===\nfirst"]]
    prompts(ask(part("file", path="l1.txt")), code=1)
    assert "is not UTF-8 text (byte 2)" in prompts.result["error"]["message"]


def test_components(treadle, prompts):
    treadle.file("c.yaml", "rules:\n  polite:\n    - {type: static, content: 'Be polite to {WHO}. {{ not a hole }}'}\n"
                 "    - {type: file, path: more.md, variables: {N: 2}}\n"
                 "  short: Be short.\nother: {short: Very short.}\n")
    treadle.file("more.md", "{N} {WHO}")
    sent = prompts(ask(part("file", path="c.yaml", component="polite", variables={"WHO": "all"}),
                       part("file", path="c.yaml", component="rules.short"), part("static", content="end")))
    assert sent == [["Be polite to all. {{ not a hole }}\n\n2 all\n\nBe short.\n\nend"]]
    for name, says in [("short", "several groups"), ("none", "has no component `none`")]:
        prompts(ask(part("file", path="c.yaml", component=name)), code=1)
        assert says in prompts.result["error"]["message"]


def test_a_component_file_names_nothing_outside(treadle, prompts):
    treadle.file("c.yaml", "g:\n  c: [{type: file, path: /etc/passwd}]\n")
    assert prompts(ask(part("file", path="c.yaml", component="c")), code=1) == []


@pytest.mark.parametrize("path", ["{{ steps.look.file }}", "${steps.look.file}", "${f}", "${inputs.n ? f : f}"])
def test_a_path_that_a_step_said_leads_nowhere_outside(treadle, prompts, path):
    said_so = {"name": "set", "type": "set_variable", "variables": {"f": "{{ steps.look.file }}"}}
    assert prompts(echo("look", {"file": "/etc/passwd"}), said_so, ask(part("file", path=path)), code=1,
                   variables={"f": ""}, inputs={"n": {"type": "integer", "default": 1}}) == []


def test_a_path_by_the_environment(treadle, fake_provider, tmp_path):
    provider = fake_provider()
    (tmp_path / "far.md").write_text("from afar")
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "env": ["NOTES_DIR"], "steps": [
        ask(part("file", path="${NOTES_DIR}/far.md"))]}})
    treadle("run", file, "--quiet", env={**provider.env, "NOTES_DIR": str(tmp_path)})
    assert [said(r) for r in provider.requests()] == [["from afar"]]


def test_steps_made_of_components(treadle, fake_provider):
    provider = fake_provider()
    file = treadle.file("w.yaml", """\
workflow:
  name: w
  components:
    review: &review
      type: claude
      prompt: [{type: static, content: "Review ${what} for ${PATH} in ${style}."}]
  steps:
    - <<: *review
      name: a
      variables: {what: code, style: "{{ 1 + 1 }}"}
    - <<: *review
      name: b
      variables: {what: text, style: short}
""")
    treadle("run", file, "--quiet", env=provider.env)
    assert [said(r) for r in provider.requests()] == [["Review code for ${PATH} in 2."],
                                                     ["Review text for ${PATH} in short."]]


def test_summaries_are_calls_of_their_own(treadle, prompts):
    treadle.file("long.md", "word " * 400 + "{X}")
    script = [{"regex": "Summarize a text in at most (\\d+) characters", "text": "short $1 {X}"}, {"text": "done"}]
    sent = prompts(echo("look", {"text": "abc"}),
                   ask(part("file", path="long.md", summary=True, variables={"X": "filled"}),
                       part("file", path="long.md", summary=True, max_summary_length=7, summary_focus="words"),
                       part("previous_response", step="look", summary=True),
                       part("previous_response", step="look", summary=True, summary_style="bullet_points",
                            max_length=50)),
                   script=script)
    assert len(sent) == 4 and "at most 1000 characters." in sent[0][0] and sent[0][0].endswith("filled")
    assert "at most 7 characters. Focus on: words." in sent[1][0] and "Style: bullet_points." in sent[2][0]
    assert sent[3] == ["short 1000 {X}\n\nshort 7\n\nabc\n\nshort 50 {X}"]
    usage = prompts.result["results"]["ask"]["usage"]
    assert usage["input_tokens"] == prompts.result["usage"]["input_tokens"] and prompts.result["usage"]["calls"] == 4


def test_a_resumed_run_asks_for_no_summary_again(treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "Summarize", "text": "short"},
                                     {"regex": "^short$", "nth": 1, "status": 401, "body": "no"},
                                     {"text": "yes"}])
    treadle.file("long.md", "word " * 400)
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [
        ask(part("file", path="long.md", summary=True))]}})
    treadle("run", file, "--run-id", "r", "--quiet", env=provider.env, code=1)
    (treadle.cwd / "long.md").unlink()
    treadle("resume", "r", "--quiet", env=provider.env)
    sent = [said(r) for r in provider.requests()]
    assert [s[0][:9] for s in sent] == ["Summarize", "short", "short"]


def talk(name, prompt, **more):
    return {"name": name, "type": "claude_session", "prompt": prompt, **more}


HEARD = [{"regex": "(\\w+)$", "text": "heard $1"}]


def test_what_was_said_in_a_session(prompts):
    sent = prompts(talk("a", "one", session_name="tutor"), talk("b", "two", session_name="tutor"), talk("c", "own"),
                   ask(part("session_context", session_id="tutor", include_last_n=3), part("static", content="end")),
                   {**ask(part("session_context", session_id="tutor", filter="assistant")), "name": "d"},
                   {**ask(part("session_context"), part("session_context", session_id="nobody")), "name": "e"},
                   script=HEARD)
    assert sent[3:] == [["Assistant: heard one\n\nUser: two\n\nAssistant: heard two\n\nend"],
                        ["Assistant: heard one\n\nAssistant: heard two"], ["User: own\n\nAssistant: heard own"]]


def test_going_on_with_the_newest_session(prompts):
    more = part("claude_continue", new_prompt="three")
    sent = prompts(talk("a", "one", session_name="tutor"), talk("b", "own"),
                   {**ask(more, part("static", content="now")), "name": "c"},
                   {**ask(part("claude_continue", new_prompt="four", session_id="tutor")), "name": "d",
                    "type": "claude_robust"},
                   talk("e", "five", session_name="tutor"), talk("f", "never", condition=False, session_name="x"),
                   {**ask(part("claude_continue", new_prompt="six")), "name": "g"}, script=HEARD)
    assert sent == [["one"], ["own"], ["own", "heard own", "three\n\nnow"], ["one", "heard one", "four"],
                    ["one", "heard one", "four", "heard four", "five"],
                    ["one", "heard one", "four", "heard four", "five", "heard five", "six"]]
    results = prompts.result["results"]
    assert results["c"]["session_id"] == "b" and results["g"]["session_id"] == "tutor"


def loop(name, items, *steps, **more):
    return {"name": name, "type": "for_loop", "data_source": items, "steps": list(steps), **more}


def test_a_session_of_the_iteration_before(prompts):
    """The first step of a body goes on with what its last step began, also behind the loop."""
    more = {**ask(part("claude_continue", new_prompt="more {{ item }}"), condition="loop.index > 0")}
    sent = prompts(loop("l", [1, 2, 3], more, talk("own", "begin {{ item }}", continue_session=False)),
                   {**ask(part("claude_continue", new_prompt="end")), "name": "last"}, script=HEARD)
    assert sent == [["begin 1"], ["begin 1", "heard 1", "more 2"], ["begin 2"],
                    ["begin 2", "heard 2", "more 3"], ["begin 3"], ["begin 3", "heard 3", "end"]]


def test_a_session_inside_an_earlier_step(prompts):
    """It is newer than one before that step; where nothing was said inside, it is not."""
    go_on = {**ask(part("claude_continue", new_prompt="on")), "name": "last"}
    inner = talk("inner", "inner", session_name="b")
    assert prompts(talk("a", "outer"), loop("l", [1], inner), go_on, script=HEARD)[-1] == ["inner", "heard inner", "on"]
    choice = {"name": "s", "type": "switch", "expression": "1", "cases": {"2": [inner]}}
    assert prompts(talk("a", "outer"), choice, go_on, script=HEARD)[-1] == ["outer", "heard outer", "on"]


def test_a_question_about_an_injected_part_does_not_take_it(treadle, prompts):
    treadle.file("p.md", "Say{if CODE} something about the code{endif}.")
    inject = part("static", content="int x;", inject_as="CODE")
    assert prompts(ask(part("file", path="p.md"), inject)) == [["Say something about the code.\n\nint x;"]]


def test_parts_that_share_a_name(treadle, prompts):
    treadle.file("p.md", "Look: {CODE}")
    either = [part("static", content=text, inject_as="CODE", condition=f"n == {text}") for text in "12"]
    file = part("file", path="p.md")
    assert prompts(ask(file, *either), variables={"n": 2}) == [["Look: 2"]]
    assert prompts(ask(file, *either), variables={"n": 3}) == [["Look: "]]
    prompts(ask(file, *either, part("static", content="x", inject_as="CODE")), variables={"n": 2}, code=1)
    assert "`inject_as` is `CODE`, as in part 3" in prompts.result["error"]["message"]


def test_no_session_has_run(prompts):
    prompts(talk("a", "one", condition=False), {**ask(part("claude_continue", new_prompt="on")), "name": "b"}, code=1)
    assert "there is no session to go on with" in prompts.result["error"]["message"]


def test_sessions_by_claude_options(prompts):
    first = {**ask("x"), "prompt": "one", "claude_options": {"session_id": "s1"}}
    again = {**first, "name": "b", "prompt": "two"}
    resume = {**first, "name": "c", "prompt": "three", "claude_options": {"resume_session": True}}
    fresh = {**first, "name": "d", "prompt": "four", "claude_options": {"session_id": "s1", "resume_session": False}}
    assert prompts(first, again, resume, fresh, script=HEARD) == [
        ["one"], ["one", "heard one", "two"], ["one", "heard one", "two", "heard two", "three"], ["four"]]
    assert prompts({**ask("x"), "prompt": "five", "claude_options": {"resume_session": "s1"}}, script=HEARD) == [
        ["four", "heard four", "five"]]


def test_a_query_by_its_name(treadle, prompts):
    sent = prompts(ask(part("previous_response", step="v", extract="k")), variables={"v": {"k": 3}})
    assert sent == [["3"]]
