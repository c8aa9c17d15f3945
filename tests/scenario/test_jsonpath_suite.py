"""Treadle's JSONPath against the compliance test suite of RFC 9535: every case, results, their order and their paths.

The suite (BSD-2-Clause) comes with an npm package that tools/npm.sh installs; without it this is skipped.

TREADLE_JSONPATH_SUITE  another cts.json, such as that of the suite's repository
"""
import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from conftest import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITE = ROOT / "build/npm/node_modules/jsonpath-rfc9535/src/__tests__/jsonpath-compliance-test-suite/cts.json"
LEAST = 600  # cases, so that an empty file cannot pass


def ask(requests):
    """jsonpath_check's answer to each (kind, text)."""
    with tempfile.TemporaryFile() as questions:
        for kind, text in requests:
            data = text.encode("utf-8", "surrogatepass")
            questions.write(b"%s %d\n" % (kind, len(data)) + data)
        questions.seek(0)
        done = subprocess.run([program("jsonpath_check")], stdin=questions, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode()[-500:] + done.stderr.decode()[-500:]
    answers = [tuple(line.split(" ", 1)) for line in done.stdout.decode().rstrip("\n").split("\n")]
    assert len(answers) == len(requests)
    return answers


def judge(case, word, said):
    """What is wrong with an answer, or None."""
    if case.get("invalid_selector"):
        return None if word == "invalid" else f"accepted: {said}"
    if word != "nodes":
        return f"{word}: {said}"
    nodes = json.loads(said)
    results, paths = [node[0] for node in nodes], [node[1] for node in nodes]
    allowed = case.get("results", [case.get("result")])
    allowed_paths = case.get("results_paths", [case.get("result_paths", paths)])
    # As text: to Python 1 is True and 1.0
    texts = [json.dumps(each, sort_keys=True) for each in allowed]
    for i, text in enumerate(texts):
        if text == json.dumps(results, sort_keys=True) and allowed_paths[min(i, len(allowed_paths) - 1)] == paths:
            return None
    return f"{results} at {paths}; expected {allowed}"


def test_suite():
    path = pathlib.Path(os.environ.get("TREADLE_JSONPATH_SUITE", SUITE))
    if not path.is_file():
        pytest.skip(f"the JSONPath compliance suite is missing ({path}): run tools/npm.sh")
    cases = json.loads(path.read_text())["tests"]
    requests = []
    for case in cases:
        requests.append((b"value", json.dumps(case.get("document"))))
        requests.append((b"query", case["selector"]))
    answers = ask(requests)[1::2]
    wrong = [f"{case['name']}: {case['selector']!r}: {why}"
             for case, answer in zip(cases, answers) if (why := judge(case, *answer))]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)
    assert len(cases) >= LEAST
    print(f"JSONPath compliance suite: {len(cases)} cases, all as expected")
