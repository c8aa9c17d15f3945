"""Small workflows of pipeline_ex, with what that system answered when it was really run: ours must answer the same.

Compared are status, results, error (by class, not by wording) and the files that are there afterwards. Where the
answer of the reference is one of its defects, ours differs on purpose: INTENDED names each such place, what we answer
there and why. An entry that is not needed fails the test, so that the list cannot rot. A workflow that we refuse, or
that fails, because of one part (REFUSED) is also compared without that part.

The data is not part of this repository: TREADLE_SHARED names the directory (default: `shared` beside the checkout).
"""
import fnmatch
import json
import os
import pathlib
import re

import pytest

from conftest import ROOT
from golden_differences import INTENDED, LIMITS, REFUSED

SHARED = pathlib.Path(os.environ.get("TREADLE_SHARED") or ROOT.parent / "shared")
GOLDEN = SHARED / "data/pipeline_ex/golden"
CORPUS = SHARED / "data/pipeline_ex/corpus"
FILES = sorted(GOLDEN.glob("*.yaml"))
NAMES = {"files", "variables_set"}  # lists of names: their order says nothing

# What the reference says in words, as the class of our error object (`refused`: already when the file is loaded).
CLASSES = [
    (r"has invalid type|Unknown operation|Unsupported operation", {"refused", "invalid"}),
    (r"does not exist|Failed to read file|Step result not found", {"not_found", "refused"}),
    (r"Data source must resolve to a list", {"invalid"}),
    (r"Maximum nesting depth", {"limit"}),
    (r"failed: custom|Test step intentionally failed", {"step"}),
]


def test_there_are_goldens():
    if not GOLDEN.is_dir():
        pytest.skip(f"NOT TESTED: no reference data in {GOLDEN}; set TREADLE_SHARED")
    assert len(FILES) >= 54


def initial_files():
    """What was put in place before each run: the files that no workflow changed."""
    every = [json.loads(path.with_suffix(".json").read_text())["files"] for path in FILES]
    return {name: text for name, text in every[0].items() if name.startswith("workspace/data/")}


def differences(path, ours, theirs):
    """(path, ours, theirs) of every place where they are not equal; None where there is nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.get("skipped") is True and theirs.get("skipped") is True:
            return  # the reason is worded otherwise
        for key in {**theirs, **ours}:
            yield from differences(f"{path}.{key}", ours.get(key), theirs.get(key))
    elif isinstance(ours, list) and isinstance(theirs, list):
        if path.rpartition(".")[2] in NAMES:
            ours, theirs = sorted(ours), sorted(theirs)
        for i in range(max(len(ours), len(theirs))):
            yield from differences(f"{path}.{i}", ours[i] if i < len(ours) else None,
                                   theirs[i] if i < len(theirs) else None)
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield path, ours, theirs


def files_of(treadle):
    found = {}
    for path in sorted(treadle.cwd.rglob("*")):
        name = str(path.relative_to(treadle.cwd))
        if path.is_file() and name.startswith(("workspace/", "outputs/")):
            text = path.read_text()
            try:
                found[name] = json.loads(text) if name.endswith(".json") else text
            except ValueError:
                found[name] = text
    return found


def expected_files(golden):
    found = {}
    for name, text in golden["files"].items():
        try:
            found[name] = json.loads(text) if name.endswith(".json") else text
        except ValueError:
            found[name] = text
    return found


def run(treadle, name, workflow):
    """Our answer in the form of the golden: {status, results, class, files}."""
    for file, text in initial_files().items():
        treadle.file(file, text)
    for fixture in (CORPUS / "test/fixtures/pipelines").glob("*.yaml"):
        treadle.file(f"test/fixtures/pipelines/{fixture.name}", fixture.read_text())
    result = treadle("run", treadle.file(f"{name}.yaml", workflow), "--mock", "--json", "--quiet")
    if result.code == 2:
        return {"status": "refused", "results": {}, "class": "refused", "files": files_of(treadle)}, result
    text = json.dumps(result.json["results"]).replace(str(treadle.cwd / "workspace"), "<workspace>")
    text = re.sub(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', '"<time>"', text)
    ok = result.code == 0
    return {"status": "ok" if ok else "error", "results": json.loads(text),
            "class": None if ok else result.json["error"]["class"], "files": files_of(treadle)}, result


def compare(treadle, name, workflow, golden, intended):
    ours, result = run(treadle, name, workflow)
    theirs = {"status": golden["status"], "results": golden["results"], "files": expected_files(golden)}
    if golden["status"] == "error" and golden["results"] is None:
        theirs["results"] = ours["results"]  # of a run that failed it showed no results
    wrong = list(differences("", {k: ours[k] for k in theirs}, theirs))
    if golden["status"] == "error" and ours["class"] is not None:
        allowed = next((c for pattern, c in CLASSES if re.search(pattern, golden["error"])), None)
        if ours["class"] == "refused" and allowed and "refused" in allowed:
            wrong = [w for w in wrong if not w[0].startswith(".status")]
        elif allowed is None or ours["class"] not in allowed:
            wrong.append((".error", ours["class"], golden["error"]))
    used, left = set(), []
    for path, mine, reference in wrong:
        entry = next((pattern for pattern in intended if fnmatch.fnmatchcase(path[1:], pattern)), None)
        if entry is not None and intended[entry][0] in (..., mine):
            used.add(entry)
        else:
            left.append(f"{path[1:]}: ours {json.dumps(mine)}, the reference's {json.dumps(reference)}")
    assert not left, "\n".join([*left, repr(result)])
    assert used == set(intended), f"no such difference any more: {set(intended) - used}"


def without(workflow, golden, parts):
    """Both without those parts: STEP, STEP.KEY of its value, or (text, another text) in the workflow."""
    for part in parts:
        if not isinstance(part, str):
            text = json.dumps(workflow)
            assert part[0] in text, f"{part[0]} is not there"
            workflow = json.loads(text.replace(*part))
            continue
        step, _, key = part.partition(".")
        steps = workflow["workflow"]["steps"]
        found, = [s for s in steps if s["name"] == step]
        if key:
            del found["value"][key], golden["results"][step][key]
        else:
            steps.remove(found)
            (golden["results"] or {}).pop(step, None)
    return workflow


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_golden(treadle, path):
    name = path.stem
    workflow = json.loads(path.read_text())
    golden = json.loads(path.with_suffix(".json").read_text())
    workflow["workflow"].update(LIMITS.get(name.rpartition("_")[0], {}))
    if name in REFUSED:
        status, parts, messages = REFUSED[name]
        ours, result = run(treadle, name, workflow)
        assert ours["status"] == status, result
        for message in messages:
            assert message in result.err, result
        assert status != "refused" or not files_of(treadle).keys() - initial_files().keys(), "it changed something"
        workflow = without(workflow, golden, parts)
    compare(treadle, name, workflow, golden, INTENDED.get(name, {}))


def test_every_difference_is_of_a_golden():
    if not FILES:
        pytest.skip("NOT TESTED: no reference data")
    assert {*INTENDED, *REFUSED} <= {path.stem for path in FILES}
