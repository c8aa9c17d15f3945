"""stream_process whose processor asks models or runs other steps, chunk by chunk: what is asked, what is written, and
that a kill loses no finished chunk and asks none twice."""
import time

import pytest

from conftest import measured

LINES = [f"{i:04d} größer als 10 €\n" for i in range(60)]


def workflow(*steps, **more):
    return {"workflow": {"name": "stream", **more, "steps": list(steps)}}


def stream(processor, **keys):
    return {"name": "go", "type": "file_ops", "operation": "stream_process", "source": "in.txt",
            "destination": "out/made.txt", "processor": processor, **keys}


def run(treadle, step, *args, text="".join(LINES), code=0, env=None, **more):
    treadle.file("ws/in.txt", text)
    file = treadle.file("w.json", workflow(step, **more))
    return treadle("run", file, "--run-id", "r", "--workspace", "ws", "--json", *args, env=env, code=code)


def made(treadle):
    return (treadle.cwd / "ws/out/made.txt").read_text()


ECHO = {"fixtures": [{"match": {"text": "(?s)^chunk ([0-9]+) of ([0-9]+):(.*)$"}, "reply": {"text": "[$1/$2]$3"}}]}
ASK = {"type": "claude", "prompt": "chunk {{ loop.index }} of {{ loop.total }}:{{chunk}}"}


def echo(treadle):
    return "--mock=" + treadle.file("fixtures.json", ECHO)


def test_each_chunk_is_asked_and_the_answers_stand_in_order(treadle):
    got = run(treadle, stream(ASK, chunk_lines=25, output_field="file"), echo(treadle)).json
    path = str(treadle.cwd / "ws/out/made.txt")
    assert got["results"]["go"] == {
        "operation": "stream_process", "source": str(treadle.cwd / "ws/in.txt"), "processed_path": path,
        "processor": "claude", "status": "completed", "method": "streaming", "chunks": 3, "bytes": len(
            made(treadle).encode()), "file": path}
    assert made(treadle) == "".join(f"[{i}/3]" + "".join(LINES[i * 25:i * 25 + 25]) for i in range(3))
    assert got["usage"]["calls"] == 3


def test_the_source_itself_may_be_rewritten(treadle):
    step = stream({"type": "command", "run": "tr a-z A-Z", "stdin": "{{ chunk }}"}, chunk_size=64)
    del step["destination"]
    run(treadle, step, text="ein\nzwei\n" * 40)
    assert (treadle.cwd / "ws/in.txt").read_text() == "EIN\nZWEI\n" * 40


def test_several_steps_make_a_processor(treadle):
    steps = [{"name": "first", "type": "test_echo", "value": "<{{ chunk }}>"},
             {"name": "second", "type": "test_echo", "value": "{{ steps.first }}{{ inputs.mark }}",
              "condition": "loop.index != 1"},
             {"name": "third", "type": "test_echo", "value": "never", "condition": "loop.index > 100"}]
    run(treadle, stream({"steps": steps}, chunk_lines=1), text="a\nb\nc",
        inputs={"mark": {"type": "string", "default": "!"}})
    # the last step that was not skipped says what is written; whole lines stay whole lines
    assert made(treadle) == "<a\n>!\n<b\n>\n<c>!"


def test_a_chunk_that_is_left_out_stays_as_it_is(treadle):
    run(treadle, stream({**ASK, "condition": "contains(chunk, '0042')"}, chunk_lines=1), echo(treadle))
    assert made(treadle) == "".join("[42/60]" + x if x.startswith("0042") else x for x in LINES)


@pytest.mark.parametrize("text, chunks", [("", 0), ("x", 1), ("\n", 1), ("\ufeffa\nb\n", 1)])
def test_small_files(treadle, text, chunks):
    got = run(treadle, stream({"type": "test_echo", "value": "{{ chunk }}"}), text=text).json
    assert made(treadle) == text.lstrip("\ufeff") and got["results"]["go"]["chunks"] == chunks


def test_data_becomes_json(treadle):
    answer = {"fixtures": [{"match": {}, "reply": {"json": {"n": 1}}}]}
    ask = {"type": "claude", "prompt": "{{ chunk }}", "output_schema": {"type": "object", "required": ["n"]}}
    run(treadle, stream(ask, chunk_lines=1), "--mock=" + treadle.file("fixtures.json", answer), text="a\nb\n")
    assert made(treadle) == '{"n":1}\n{"n":1}\n'


def test_nothing_is_asked_about_a_file_that_will_not_do(treadle, fake_provider):
    provider = fake_provider()
    (treadle.cwd / "ws").mkdir()
    (treadle.cwd / "ws/latin.txt").write_bytes(b"caf\xe9\n")
    env = {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "key"}
    for keys, said in [({"source": "latin.txt"}, "latin.txt is not UTF-8 (byte 3, line 1)"),
                       ({"source": "none.txt"}, "none.txt does not exist"),
                       ({"source": "*.txt"}, "stream_process takes one file"),
                       ({"chunk_by": "lines", "chunk_size": 16}, "line 1 of in.txt is larger than a chunk"),
                       ({"chunk_size": "{{ 3 }}"}, "chunk_size"),
                       ({"overwrite": False, "destination": "latin.txt"}, "latin.txt exists already"),
                       ({"destination": "../out.txt"}, "out.txt"),
                       ({"source": "../in.txt"}, "in.txt")]:
        got = run(treadle, {**stream(ASK), **keys, "on_error": "continue"}, env=env).json
        assert said in got["results"]["go"]["error"]["message"], got
        treadle("rm", "r", code=0)
    assert provider.total() == 0


@pytest.mark.parametrize("step", [{"operation": "convert", "destination": "a.yaml", "format": "json_to_yaml"},
                                  {"operation": "stream_process", "processor": "uppercase"}])
def test_operations_on_one_file_say_how_several_are_done(treadle, step):
    treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [
        {"name": "go", "type": "file_ops", "source": "*.json", **step}]}})
    said = treadle("run", "w.yaml", "--json", "--quiet", code=1).json["error"]["message"]
    assert f"{step['operation']} takes one file, so for a pattern put it into a for_loop over the files" in said


def test_a_failed_chunk_fails_the_step_and_is_all_that_a_resume_asks_again(treadle, fake_provider):
    provider = fake_provider([{"contains": "chunk 2 of", "times": 1, "status": 400, "body": {}},
                              *({"contains": f"chunk {i} of", "text": f"[{i}]"} for i in range(3))])
    env = {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "key"}
    got = run(treadle, stream(ASK, chunk_lines=20, max_parallel=1), env=env, code=1, text="".join(LINES)).json
    assert "chunk 3: " in got["error"]["message"] and not (treadle.cwd / "ws/out").exists()
    treadle("resume", "r", env=env, code=0)
    assert made(treadle) == "[0]\n[1]\n[2]\n" and provider.total() == 4


def test_a_source_that_changes_meanwhile_is_begun_anew(treadle):
    touch = {"name": "touch", "type": "command", "run": "echo more >> in.txt", "condition": "loop.index == 1 and "
             "!exists(state.twice)"}
    got = run(treadle, stream({"steps": [touch, {"name": "say", "type": "test_echo", "value": "{{ chunk }}"}]},
                              chunk_lines=20, max_parallel=1, retry={"max_attempts": 1}), code=1).json
    assert "in.txt was changed while it was being processed" in got["error"]["message"]
    assert not (treadle.cwd / "ws/out").exists()


@pytest.mark.parametrize("kills", [4])
def test_kills_ask_no_finished_chunk_again(treadle, fake_provider, kills):
    provider = fake_provider([{"contains": f"chunk {i} of", "text": f"[{i}]"} for i in range(60)], delay_ms=20)
    env = {"ANTHROPIC_BASE_URL": provider.url, "ANTHROPIC_API_KEY": "key"}
    treadle.file("ws/in.txt", "".join(LINES))
    file = treadle.file("w.json", workflow(stream(ASK, chunk_lines=1, max_parallel=3)))
    args = ["run", file, "--run-id", "r", "--workspace", "ws", "--json"]
    for life in range(kills + 1):
        process = treadle.start(*args, env=env)
        goal = (life + 1) * 60 // (kills + 2)
        end = time.monotonic() + 30
        while life < kills and provider.total("completed") < goal and time.monotonic() < end:
            time.sleep(0.005)
        if life < kills:
            process.kill()
        result = process.wait()
        args = ["resume", "r", "--json"]
    assert result.code == 0, result
    assert made(treadle) == "".join(f"[{i}]\n" for i in range(60))
    # at most what was in flight at each kill was asked again
    assert 60 <= provider.total() <= 60 + 3 * kills


@pytest.mark.parametrize("fault", ["fileop.commit=1", "fileop.clean=1"])
def test_a_kill_while_the_file_is_put_together(treadle_faults, fault):
    step = stream({"type": "test_echo", "value": "({{ chunk }})"}, chunk_lines=1)
    run(treadle_faults, step, env={"TREADLE_FAULT": fault}, code=99, text="a\nb\n")
    treadle_faults("resume", "r", code=0)
    assert made(treadle_faults) == "(a\n)\n(b\n)\n"
    assert not list((treadle_faults.cwd / "ws/out").glob(".*"))


def test_memory_does_not_grow_with_the_file(treadle):
    """Chunks of 256 KB, two at a time: 200 of them take no more than 20."""
    peak = []
    for n in (20, 200):
        treadle.file("ws/in.txt", ("x" * 1023 + "\n") * 256 * n)
        file = treadle.file("w.json", workflow(stream({"type": "test_echo", "value": "done {{ loop.index }}"},
                                                      chunk_size="256KB", max_parallel=2)))
        peak.append(measured(treadle, "run", file, "--workspace", "ws", "--quiet")[3])
        assert made(treadle) == "".join(f"done {i}\n" for i in range(n))
    assert peak[1] < peak[0] + 12 * 1024, peak
    print(f"peak memory: {peak[0]} KiB for 5 MB, {peak[1]} KiB for 50 MB")


def test_a_dry_run_shows_one_chunk(treadle):
    treadle.file("ws/in.txt", "".join(LINES))
    file = treadle.file("w.json", workflow(stream(ASK, chunk_lines=1)))
    plan = treadle("run", file, "--dry-run", "--workspace", "ws", code=0)
    assert "chunk 0 of 1:0000 größer" in plan.out and not (treadle.cwd / "ws/out").exists()


def test_validate_knows_the_names_of_a_processor(treadle):
    for processor, said in [
            ("claude", "`processor` is only the type of a step; expected a step such as {type: claude, prompt"),
            ("uppercas", "did you mean `uppercase`?"), ({"type": "cluade", "prompt": "x"}, "did you mean `claude`?"),
            ({"type": "claude", "prompt": "{{ chnk }}"}, "did you mean `chunk`?"),
            ({"type": "claude", "prmpt": "{{ chunk }}"}, "did you mean `prompt`?"),
            ({"steps": []}, "the list of steps is empty"), ({"steps": [], "pattern": "x"}, "`pattern` stands beside"),
            ({"steps": [{"name": "b", "type": "break"}]}, "`break` stands in no loop")]:
        file = treadle.file("w.json", workflow(stream(processor), inputs={"mark": {"type": "string"}}))
        assert said in treadle("validate", file, code=2).err, processor
    outside = {"name": "x", "type": "claude", "prompt": "{{ chunk }}"}
    file = treadle.file("w.json", workflow(stream(ASK), outside, inputs={"mark": {"type": "string"}}))
    assert "unknown name `chunk`" in treadle("validate", file, code=2).err
