"""Conversations in the journal: a turn records what it says itself and which history it went on from, never all of it;
and that history is the same in every later life, or its loss is told."""
import sqlite3

import pytest

TALK = {"type": "claude_session", "model": "haiku"}
HEARD = [{"regex": "(\\w+)$", "text": "heard $1"}]


def workflow(treadle, *steps, **more):
    return treadle.file("w.yaml", {"workflow": {"name": "w", "steps": list(steps), **more}})


def tutor(name, prompt, **more):
    return {**TALK, "name": name, "prompt": prompt, "session_name": "tutor", **more}


def said(request):
    contents = [m["content"] for m in request["body"]["messages"]]
    return [c if isinstance(c, str) else c[0]["text"] for c in contents]


def bytes_below(treadle, run, path):
    """Of the journal's records of a frame and what is in it, wherever the journal keeps them."""
    db = sqlite3.connect(next((treadle.home / "runs" / run).glob("journal.db")))
    size = "coalesce(length(data), length((SELECT data FROM blob WHERE key = record.blob)), 0)"
    return db.execute(f"SELECT sum({size}) FROM record "
                      "WHERE path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'", [path]).fetchone()[0]


@pytest.mark.parametrize("step", [
    {**TALK, "session_name": "t"}, {**TALK}, {"type": "claude", "claude_options": {"session_id": "t"}},
    {"type": "claude", "claude_options": {"session_id": "t"}, "prompt": [
        {"type": "session_context", "session_id": "t", "include_last_n": 2},
        {"type": "static", "content": "What is 100000?"}]}], ids=["named", "own", "joined", "context"])
def test_what_a_turn_records_does_not_grow(treadle, step):
    body = {"prompt": "What is {{ 100000 + item }}?", **step, "name": "ask"}
    loop = {"name": "all", "type": "for_loop", "data_source": "range(1, 80)", "steps": [body]}
    treadle("run", workflow(treadle, loop), "--mock", "--run-id", "r", "--quiet", code=0)
    few, many = (bytes_below(treadle, "r", f"all/{i}") for i in (20, 79))
    assert 500 < few and many < few + 20, "the numbers have some more digits, and that is all"


def test_an_agents_turn_records_do_not_grow(treadle):
    """The requests carry all that was said, and are told by their hash."""
    fixtures = treadle.file("f.yaml", {"fixtures": [
        {"match": {"turn": 60}, "reply": {"text": "done"}},
        {"reply": {"tool_calls": [{"name": "Read", "input": {"file_path": "notes.txt"}}]}}]})
    treadle.file("workspace/notes.txt", "x" * 3000)
    ask = {"name": "ask", "type": "claude", "prompt": "Read.", "allowed_tools": ["Read"], "max_turns": 100}
    treadle("run", workflow(treadle, ask), "--mock", fixtures, "--run-id", "r", "--quiet", code=0)
    few, many = (bytes_below(treadle, "r", f"ask/turn:{i}") for i in (15, 59))
    assert 2000 < few < 8000 and many < few + 40


def kill_points(records):
    return [f"engine.kill.{side}.{record}={n}" for record, most in records.items() for n in range(1, most + 1)
            for side in ("before", "after")]


@pytest.mark.parametrize("part", range(3))
def test_killed_anywhere(treadle_faults, fake_provider, part):
    """The conversation is the same, and what was answered is not asked again."""
    provider = fake_provider(script=HEARD)
    steps = [tutor(f"s{i}", f"[[key:{i}]]\nword{i}") for i in range(3)]
    file = workflow(treadle_faults, *steps)
    points = kill_points({"intent": 9, "result": 9, "done": 3})[1:]
    for number, point in list(enumerate(points))[part::3]:
        (treadle_faults.home / "sessions" / "tutor.jsonl").unlink(missing_ok=True)
        before = len(provider.requests())
        killed = treadle_faults.start("run", file, "--run-id", f"r{number}", "--quiet",
                                      env={**provider.env, "TREADLE_FAULT": point}).wait()
        assert killed.code == -9, point
        done = treadle_faults("resume", f"r{number}", "--json", "--quiet", env=provider.env, code=0).json
        assert [done["results"][f"s{i}"]["text"] for i in range(3)] == [f"heard word{i}" for i in range(3)], point
        assert done["results"]["s2"]["claude_session_metadata"]["turn"] == 3, point
        asked = [said(r) for r in provider.requests()[before:]]
        assert [len(a) for a in sorted({tuple(a) for a in asked}, key=len)] == [1, 3, 5], point
        again = len(asked) - 3
        assert again == 0 or (again == 1 and ("before" in point or "after.intent" in point)), point


def killed_with_an_answer(treadle, provider):
    """A run whose second exchange was answered, and not yet added to the session."""
    file = workflow(treadle, tutor("a", "one"), tutor("b", "two"))
    killed = treadle.start("run", file, "--run-id", "r", "--quiet",
                           env={**provider.env, "TREADLE_FAULT": "engine.kill.after.result=5"}).wait()
    assert killed.code == -9 and len(provider.requests()) == 2
    return treadle.home / "sessions" / "tutor.jsonl"


@pytest.mark.parametrize("damage, message", [
    (lambda path: path.unlink(), "is gone"), (lambda path: path.write_text(""), "has been changed"),
    (lambda path: path.write_text(path.read_text().replace("heard", "heart")), "has been changed")])
def test_a_session_that_changed_meanwhile_is_told(treadle_faults, fake_provider, damage, message):
    provider = fake_provider(script=HEARD)
    path = killed_with_an_answer(treadle_faults, provider)
    was = path.read_bytes()
    damage(path)
    for _ in range(2):
        held = treadle_faults("resume", "r", "--json", env=provider.env, code=3)
        assert held.json["status"] == "waiting" and str(path) in held.json["error"]["message"]
        assert message in held.json["error"]["message"] and "--force" in held.json["error"]["message"]
    path.write_bytes(was)
    done = treadle_faults("resume", "r", "--json", "--quiet", env=provider.env, code=0).json
    assert done["results"]["b"]["text"] == "heard two" and len(provider.requests()) == 2
    assert done["results"]["b"]["claude_session_metadata"]["turn"] == 2


def test_going_on_with_a_session_that_changed(treadle_faults, fake_provider):
    provider = fake_provider(script=HEARD)
    path = killed_with_an_answer(treadle_faults, provider)
    path.unlink()
    treadle_faults("resume", "r", "--quiet", env=provider.env, code=3)
    done = treadle_faults("resume", "r", "--force", "--json", env=provider.env, code=0)
    assert "going on with what is there now" in done.err
    assert done.json["results"]["b"]["claude_session_metadata"]["turn"] == 1 and len(provider.requests()) == 2


def test_others_may_speak_meanwhile(treadle_faults, fake_provider):
    """A step goes on from what was there when it began."""
    provider = fake_provider(script=HEARD)
    file = workflow(treadle_faults, tutor("a", "one"), tutor("b", "two"))
    treadle_faults.start("run", file, "--run-id", "r", "--quiet",
                         env={**provider.env, "TREADLE_FAULT": "engine.kill.after.result=4"}).wait()
    other = workflow(treadle_faults, tutor("c", "other"))
    treadle_faults("run", other, "--quiet", env=provider.env, code=0)
    treadle_faults("resume", "r", "--quiet", env=provider.env, code=0)
    assert [said(r) for r in provider.requests()] == [
        ["one"], ["one", "heard one", "other"], ["one", "heard one", "two"]]
    last = treadle_faults("run", workflow(treadle_faults, tutor("d", "last")), "--json", "--quiet", env=provider.env)
    assert last.json["results"]["d"]["claude_session_metadata"]["turn"] == 4


def test_a_spoilt_line_is_told(treadle):
    file = workflow(treadle, tutor("a", "one"))
    treadle("run", file, "--mock", "--quiet", code=0)
    path = treadle.home / "sessions" / "mock" / "tutor.jsonl"
    path.write_text(path.read_text() + "what?\n")
    error = treadle("run", file, "--mock", "--json", "--quiet", code=1).json["error"]
    assert f"line 2 of {path}" in error["message"] and "mend or remove it" in error["message"]


def test_the_conversation_is_shown(treadle, fake_provider):
    provider = fake_provider(script=HEARD)
    file = workflow(treadle, tutor("a", "one"), tutor("b", "two"))
    treadle("run", file, "--run-id", "r", "--quiet", env=provider.env, code=0)
    logs, shown = treadle("logs", "r", "--json", code=0).out, treadle("show", "r", "--json", code=0).json["results"]
    for word in ('"one"', '"heard one"', '"two"', '"heard two"'):
        assert word in logs, word
    assert [shown[name]["text"] for name in "ab"] == ["heard one", "heard two"]

def test_a_fork_goes_on_with_the_runs_own_conversation(treadle, fake_provider):
    """And with nothing of what its own steps will say anew."""
    provider = fake_provider(script=HEARD)
    file = workflow(treadle, *[{**TALK, "name": name, "prompt": name, "session_config": {
        "session_name": "own", "persist": False}} for name in ("one", "two", "three")])
    treadle("run", file, "--run-id", "r", "--quiet", env=provider.env, code=0)
    treadle("fork", "r", "--from", "two", "--run-id", "f", "--quiet", env=provider.env, code=0)
    assert [said(r) for r in provider.requests()[3:]] == [
        ["one", "heard one", "two"], ["one", "heard one", "two", "heard two", "three"]]
