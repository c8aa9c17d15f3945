"""file_ops through the whole program: what the language says about it, and that crashes and other people's changes lose
nothing. What each operation does to files is in tests/unit/test_fileops.c."""
import json
import os
import random
import time

import pytest


def workflow(*steps, **more):
    return {"workflow": {"name": "files", **more, "steps": list(steps)}}


def ops(name, operation, **keys):
    return {"name": name, "type": "file_ops", "operation": operation, **keys}


def plant(treadle, files):
    for name, text in files.items():
        treadle.file("ws/" + name, text)
    return treadle.cwd / "ws"


def run(treadle, *steps, code=0, env=None, args=(), **more):
    file = treadle.file("w.json", workflow(*steps, **more))
    return treadle("run", file, "--run-id", "r", "--workspace", "ws", "--json", *args, env=env, code=code).json


def names(ws):
    return sorted(str(p.relative_to(ws)) for p in ws.rglob("*") if p.is_file())


FILES = {f"src/{i:02}/f{i}.txt": f"text {i}\n" for i in range(12)} | {"old/f3.txt": "was here\n", "note.md": "n\n"}
MOVE = ops("move", "move", source=["src", "note.md"], destination="old")
MOVED = sorted([f"old/src/{i:02}/f{i}.txt" for i in range(12)] + ["old/f3.txt", "old/note.md"])


def test_results_are_those_documented(treadle):
    ws = plant(treadle, FILES)
    got = run(
        treadle,
        ops("one", "copy", source="note.md", destination="n/note.md"),
        ops("many", "copy", source={"pattern": "src/**/*.txt", "exclude": "f1*"}, destination="flat",
            output_field="made"),
        ops("found", "list", path="flat", recursive=True, sort_by="size", order="desc", limit=2),
        ops("plain", "list", path="flat", pattern="^f[23]\\."),
        ops("gone", "delete", files=["flat/{f2,f3}.txt", "none/**"]),
        ops("one_gone", "delete", path="n"),
        ops("dry", "delete", files=["**/*.txt"], dry_run=True),
        {"name": "each", "type": "for_loop", "iterator": "file", "data_source": "{{ steps.found.files }}",
         "steps": [{"name": "say", "type": "test_echo", "value": "{{ file.name }} {{ loop.item.size }}"}]},
    )["results"]
    root = str(ws)
    assert got["one"] == {"operation": "copy", "source": f"{root}/note.md", "destination": f"{root}/n/note.md",
                          "status": "completed"}
    many = got["many"]
    assert many["source"] == {"pattern": "src/**/*.txt", "exclude": "f1*"} and many["destination"] == f"{root}/flat"
    assert many["count"] == 9 and many["bytes"] == 9 * 7 and many["made"] == many["files"]
    assert many["files"][0] == {"source": f"{root}/src/00/f0.txt", "destination": f"{root}/flat/f0.txt", "size": 7}
    assert [f["name"] for f in got["found"]["files"]] == ["f0.txt", "f2.txt"] and got["found"]["count"] == 2
    assert got["plain"]["files"] == [f"{root}/flat/f2.txt", f"{root}/flat/f3.txt"]
    assert got["gone"]["count"] == 2 and got["gone"]["files"] == [f"{root}/flat/f2.txt", f"{root}/flat/f3.txt"]
    assert got["one_gone"] == {"operation": "delete", "path": f"{root}/n", "status": "completed"}
    assert got["dry"]["status"] == "dry_run" and got["dry"]["count"] == 12 + 1 + 7
    assert [i["results"]["say"] for i in got["each"]["iterations"]] == ["f0.txt 7", "f2.txt 7"]
    assert names(ws) == sorted([*FILES, *(f"flat/f{i}.txt" for i in (0, 4, 5, 6, 7, 8, 9))])


def test_options_stand_anywhere(treadle):
    ws = plant(treadle, FILES)
    got = run(treadle, ops("a", "copy", source="src/{{ inputs.which }}", destination="out",
                           options={"preserve_structure": False, "overwrite": "{{ inputs.no }}"}),
              ops("b", "copy", source="note.md", destination="out/note.md", overwrite=False, on_error="continue"),
              ops("c", "copy", source="note.md", destination="out/note.md", overwrite=False, on_error="continue"),
              inputs={"which": {"type": "string", "default": "0[12]/*"}, "no": {"type": "boolean", "default": False}})
    assert (ws / "out/f2.txt").read_text() == "text 2\n" and not (ws / "out/02").exists()
    assert "error" not in got["results"]["b"] and got["results"]["c"]["error"]["class"] == "exists"


def test_validate_fails_with_what_is_wrong(treadle):
    plant(treadle, {"a.json": "{", "b.json": "{}"})
    check = ops("check", "validate", files=[{"pattern": "*.json", "validate_json": True, "max_size": "1KB"}])
    got = run(treadle, {**check, "on_error": "continue"})["results"]["check"]
    assert got["error"]["class"] == "invalid" and got["error"]["code"] == "validation"
    assert "a.json is no valid json: 1:2" in got["error"]["message"] and got["status"] == "invalid"
    assert [r["status"] for r in got["results"]] == ["invalid", "valid"]
    assert got["results"][1]["criteria"] == {"validate_json": True, "max_size": "1KB"}


def test_conversions_in_a_chain(treadle):
    ws = plant(treadle, {"in.csv": 'id,name\n1,"pear, ""green"""\n2,"two\nlines"\n'})
    chain = ["csv", "json", "yaml", "xml", "jsonl", "json", "csv"]
    steps = [ops(f"to{i}", "convert", source="in.csv" if i == 0 else f"{i - 1}.{a}", destination=f"{i}.{b}")
             for i, (a, b) in enumerate(zip(chain, chain[1:]))]
    steps[3]["format"] = "xml_to_jsonl"
    run(treadle, *steps)
    assert json.loads((ws / "0.json").read_text())[1] == {"id": "2", "name": "two\nlines"}
    assert json.loads((ws / "3.jsonl").read_text())["root"]["item"][0]["name"] == 'pear, "green"'


def test_values_of_the_run_become_files(treadle):
    ws = plant(treadle, {})
    got = run(treadle, {"name": "data", "type": "test_echo", "value": [{"a": 1, "b": "x,y"}, {"a": None, "b": ""}]},
              ops("one", "convert", source="data", destination="1.json", format="object_to_json"),
              ops("two", "convert", source="{{ steps.data[0] }}", destination="2.yaml", format="object_to_yaml"),
              ops("three", "convert", source="steps.data", destination="3.csv", format="object_to_csv",
                  csv_delimiter=";"),
              ops("four", "convert", source="previous_response:data", destination="4.json", format="object_to_json",
                  json_indent=1))
    assert (ws / "1.json").read_text() == '[{"a":1,"b":"x,y"},{"a":null,"b":""}]'
    assert (ws / "2.yaml").read_text() == "a: 1\nb: x,y\n"
    assert (ws / "3.csv").read_text() == "a;b\n1;x,y\n;"
    assert (ws / "4.json").read_text().startswith('[\n {\n  "a": 1')
    assert got["results"]["one"]["destination"] == str(ws / "1.json")


@pytest.mark.parametrize("path", ["../x", "/etc/hostname", "door/x", ".git/config", "."])
def test_nothing_outside_is_touched(treadle, path):
    ws = plant(treadle, {"a.txt": "a\n", ".git/config": "mine\n"})
    treadle.file("x", "outside\n")
    treadle.file("elsewhere/x", "outside\n")
    (ws / "door").symlink_to(treadle.cwd / "elsewhere")
    got = run(treadle, ops("delete", "delete", path=path, on_error="continue"),
              ops("move", "move", source=path, destination="got", on_error="continue"),
              ops("copy", "copy", source="a.txt", destination="b" if path == "." else path, on_error="continue"))
    for step in ("delete", "move") if path == "." else ("delete", "move", "copy"):
        assert got["results"][step]["error"]["class"] in ("invalid", "io"), got["results"][step]
    assert (treadle.cwd / "x").read_text() == "outside\n" and (treadle.cwd / "elsewhere/x").read_text() == "outside\n"
    assert (ws / ".git/config").read_text() == "mine\n" and not (ws / "got").exists()


@pytest.mark.parametrize("fault", [f"fileop.{where}={n}" for where in ("commit", "clean") for n in (1, 5, 13)])
def test_a_move_that_was_killed_half_way_is_finished(treadle_faults, fault):
    ws = plant(treadle_faults, FILES)
    count = {"name": "n", "type": "test_echo", "value": "{{ steps.move.count }}"}
    file = treadle_faults.file("w.json", workflow(MOVE, count))
    first = treadle_faults("run", file, "--run-id", "r", "--workspace", "ws", env={"TREADLE_FAULT": fault})
    assert first.code == 99
    got = treadle_faults("resume", "r", "--json", code=0).json
    assert names(ws) == MOVED and not (ws / "src").exists()
    assert got["results"]["n"] == 13 and got["results"]["move"]["status"] == "completed"
    assert all((ws / f"old/src/{i:02}/f{i}.txt").read_text() == f"text {i}\n" for i in range(12))


def test_somebody_elses_change_holds_the_run(treadle_faults):
    ws = plant(treadle_faults, FILES)
    file = treadle_faults.file("w.json", workflow(MOVE))
    treadle_faults("run", file, "--run-id", "r", "--workspace", "ws", env={"TREADLE_FAULT": "fileop.commit=4"}, code=99)
    (ws / "src/07/f7.txt").write_text("mine, and newer\n")
    held = treadle_faults("resume", "r", code=3)
    assert "src/07/f7.txt" in held.err and "changed by somebody else" in held.err
    assert names(ws) == sorted(FILES) and (ws / "src/07/f7.txt").read_text() == "mine, and newer\n"
    treadle_faults("resume", "r", "--force", code=0)
    assert names(ws) == MOVED and (ws / "old/src/07/f7.txt").read_text() == "mine, and newer\n"


def test_a_full_disk_changes_nothing(treadle_faults):
    ws = plant(treadle_faults, FILES)
    got = run(treadle_faults, ops("copy", "copy", source="src", destination="made/deep"), code=1,
              env={"TREADLE_FAULT": "fileop.full=7"})
    assert got["error"]["class"] == "disk_full" and names(ws) == sorted(FILES) and not (ws / "made").exists()


def test_wait(treadle):
    began = time.monotonic()
    got = run(treadle, ops("a", "wait", duration_seconds=0.3), ops("b", "wait", options={"duration_seconds": "200ms"}))
    assert time.monotonic() - began >= 0.5
    assert got["results"]["a"] == {"operation": "wait", "status": "completed"}


def test_kills_within_a_move_lose_nothing(treadle):
    """kill -9 at random moments while directories are moved, copied and deleted, and a resume, until it is done."""
    kills = int(os.environ.get("TREADLE_MOVE_KILLS") or 6)
    random.seed(os.environ.get("TREADLE_TEST_SEED") or 7)
    done = rounds = 0
    while done < kills:
        rounds += 1
        base = f"round{rounds}"
        content = {f"{i % 17:02}/f{i}.txt": f"{rounds} {i}\n" for i in range(400)}
        ws = plant(treadle, {f"{base}/src/{name}": text for name, text in content.items()} |
                   {f"{base}/to/{name}": "old\n" for name in list(content)[::3]})
        file = treadle.file("w.json", workflow(
            ops("move", "move", source=f"{base}/src", destination=f"{base}/to"),
            ops("copy", "copy", source=f"{base}/to", destination=f"{base}/copy"),
            ops("delete", "delete", path=f"{base}/to")))
        args = ["run", file, "--run-id", base, "--workspace", "ws", "--json"]
        for life in range(9):
            process = treadle.start(*args)
            if done < kills and life < 8:
                process.wait_output(r"^run ", "err")
                time.sleep(random.random() * 0.25)
                process.kill()
            result = process.wait()
            done += result.code == -9
            args = ["resume", base, "--json"]
            if result.code != -9:
                break
        assert result.code == 0, result
        assert names(ws / base) == sorted(f"copy/{name}" for name in content), f"{base} after {done} kills"
        assert all((ws / base / "copy" / name).read_text() == text for name, text in content.items())
    print(f"{done} kills in {rounds} rounds")


def test_a_result_is_not_made_twice(treadle):
    ws = plant(treadle, FILES)
    file = treadle.file("w.json", workflow(MOVE, {"name": "stop", "type": "command", "run": "test -e go"}))
    treadle("run", file, "--run-id", "r", "--workspace", "ws", code=1)
    (ws / "src").mkdir()
    (ws / "src/new.txt").write_text("left alone\n")
    (ws / "go").write_text("")
    got = treadle("resume", "r", "--json", code=0).json
    assert got["results"]["move"]["count"] == 13 and (ws / "src/new.txt").exists()


def test_a_narrowing_that_is_misspelt_deletes_nothing(treadle):
    """Also where sources come from data, which no check before the run can see."""
    ws = plant(treadle, {"a.log": "x", "b.log": "y"})
    for source in ({"pattern": "*.log", "older_then": "7 days"}, [{"pattern": "*.log"}, {"exlude": ["b.log"]}]):
        failed = run(treadle, ops("clean", "delete", files="{{ state.what }}"), variables={"what": source}, code=1)
        assert "unknown key" in failed["error"]["message"] and names(ws) == ["a.log", "b.log"]
        treadle("rm", "r", code=0)
    found = ops("found", "list", pattern="*.log")
    run(treadle, found, ops("clean", "delete", files="{{ steps.found.files[:1] }}"))  # rows have fields of their own
    assert names(ws) == ["b.log"]


def test_a_path_that_names_the_workspace_once_more(treadle):
    """Older workflows write `./workspace/x` for what is x in the workspace."""
    treadle.file("workspace/data/x.txt", "x")
    for step in ("operation: list, path: ./workspace/data", "operation: copy, source: workspace/data, destination: b",
                 "operation: convert, source: workspace/data/x.csv, destination: x.json"):
        treadle.file("w.yaml", "workflow: {name: w, steps: [{name: a, type: file_ops, %s}]}" % step)
        assert "paths begin inside the workspace, expected data" in treadle("run", "w.yaml", code=1).err


@pytest.mark.parametrize("word, seconds", [
    ("second", 1), ("sec", 1), ("minute", 60), ("min", 60), ("hour", 3600), ("day", 86400), ("week", 7 * 86400),
    ("month", 30 * 86400), ("year", 365 * 86400)])
def test_how_old_in_words(treadle, word, seconds):
    n = 25 if word == "year" else 120
    ws = plant(treadle, {name: "x" for name in ("older", "newer", "kept")})
    for name, share in (("older", 1.5), ("newer", 0.5), ("kept", 1.5)):
        then = time.time() - share * n * seconds
        os.utime(ws / name, (then, then))
    sources = [{"exclude": ["kept"]}, {"pattern": "*", "older_than": "1 sec"}]  # the longer time counts
    run(treadle, ops("clean", "delete", files=sources, older_than=f"{n} {word}s"))
    assert names(ws) == ["kept", "newer"]


@pytest.mark.parametrize("criteria, good", [
    ({"min_size": 3}, True), ({"min_size": 4}, False), ({"max_size": "3"}, True), ({"max_size": 2}, False),
    ({"min_sise": 1}, False)])
def test_each_file_is_held_to_its_size(treadle, criteria, good):
    """Also the last of those that come from data."""
    plant(treadle, {"a": "abc", "b": "abc"})
    run(treadle, ops("check", "validate", files="{{ state.what }}"), code=0 if good else 1,
        variables={"what": [{"path": "a"}, {"path": "b", **criteria}]})
