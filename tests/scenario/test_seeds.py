"""Several runs in one workspace: the later ones take over what the first one has kept, and lose nothing with it."""
import json
import os
import shutil

import pytest

FILES = 400


def prepare(treadle):
    ws = treadle.cwd / "ws"
    for n in range(FILES):
        path = ws / f"d{n // 40}/f{n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {n}\n" * 20)
    (ws / "large").write_bytes(os.urandom(300000))
    return ws


def flow(treadle, run):
    step = {"name": "s", "type": "command", "run": run}
    return treadle.file("w.json", json.dumps({"workflow": {"name": "w", "steps": [step]}}))


def store(treadle, run):
    return treadle.home / "runs" / run / "snapshots"


def own_bytes(directory):
    """What is in no other place as well."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*")
               if path.is_file() and path.stat().st_nlink == 1)


def run(treadle, command, name, **more):
    return treadle("run", flow(treadle, command), "--workspace", "ws", "--run-id", name, **{"code": 0, **more})


def test_ten_runs_keep_little_more_than_one(treadle):
    ws = prepare(treadle)
    run(treadle, "true", "r0")
    one = own_bytes(store(treadle, "r0"))
    for n in range(1, 10):
        run(treadle, f"echo {n} > d1/f40", f"r{n}")
    runs = treadle.home / "runs"
    seen = {}
    for path in runs.rglob("*"):
        if path.is_file() and "snapshots" in path.parts:
            seen[path.stat().st_ino] = path.stat().st_blocks * 512
    assert one > 100000 and sum(seen.values()) < 2 * one
    # Any of them may go; what the others can show stays.
    treadle("rm", *[f"r{n}" for n in range(9)], code=0)
    assert "+9" in treadle("diff", "r9", code=0).out
    assert not [path for path in store(treadle, "r9").rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    treadle("rm", "r9", code=0)
    assert not list((treadle.home / "seeds").iterdir()) and not list(runs.iterdir())
    assert (ws / "d1/f40").read_text() == "9\n"


@pytest.mark.parametrize("fault", ["seed.kill.linked=1", "seed.kill.written=1", "seed.kill.written=2"])
def test_killed_while_it_takes_over_or_leaves(treadle_faults, fault):
    treadle = treadle_faults
    ws = prepare(treadle)
    if fault == "seed.kill.linked=1":
        run(treadle, "true", "r0")
    run(treadle, "echo more >> d1/f40; rm d2/f80", "r1", env={"TREADLE_FAULT": fault}, code=-9)
    assert (ws / "d2/f80").exists()
    treadle("resume", "r1", code=0)
    run(treadle, "echo more >> d1/f40", "r2")
    assert (ws / "d1/f40").read_text().count("more") == 2 and not (ws / "d2/f80").exists()
    assert not [path for path in treadle.home.rglob(".new-*")]
    out = treadle("diff", "r1", code=0).out
    assert "-the text of 80" in out and "+more" in out and "not kept" not in out


@pytest.mark.parametrize("nth", [1, 3, 12])
def test_killed_while_it_keeps_a_content(treadle_faults, nth):
    treadle = treadle_faults
    ws = prepare(treadle)
    run(treadle, "echo more >> d1/f40", "r", env={"TREADLE_FAULT": f"objects.kill.unnamed={nth}"}, code=-9)
    assert len([path for path in treadle.home.rglob(".new-*") if path.parent.name == "objects"]) == 1
    treadle("resume", "r", code=0)
    assert not [path for path in treadle.home.rglob(".new-*")]
    assert (ws / "d1/f40").read_text().count("more") == 1 and "+more" in treadle("diff", "r", code=0).out


def test_where_links_cannot_be_made(treadle_faults):
    treadle = treadle_faults
    prepare(treadle)
    run(treadle, "true", "r0")
    run(treadle, "echo more >> d1/f40; rm large", "r1", env={"TREADLE_FAULT": "store.no_links=0"})
    assert not [path for path in store(treadle, "r1").rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    shutil.rmtree(store(treadle, "r0"))
    assert "+more" in treadle("diff", "r1", code=0).out
    treadle("fork", "r1", "--from", "s", "--workspace", "anew", "--run-id", "f", code=0)
    assert len(list((treadle.cwd / "anew").rglob("f*"))) == FILES and not (treadle.cwd / "anew/large").exists()


def test_size_of_runs_counts_what_they_keep(treadle):
    prepare(treadle)
    run(treadle, "true", "r0")
    told = treadle("rm", "r0", code=0).out
    assert "MB" in told or float(told.split("(")[1].split()[0]) > 400


def test_a_damaged_copy_is_not_put_back(treadle):
    """A changed byte in what was kept: the files stay as they are, and it is said."""
    ws = prepare(treadle)
    run(treadle, "echo new > large; false", "r0", code=1)
    [kept] = [path for path in (store(treadle, "r0") / "objects").rglob("*")
              if path.is_file() and path.stat().st_size == 300000]
    kept.chmod(0o600)
    with kept.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    got = treadle("fork", "r0", "--from", "s", code=4)
    assert "damaged" in got.err and (ws / "large").read_text() == "new\n"
