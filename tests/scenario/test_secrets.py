"""A secret reaches the command that lists it, and nothing else: no result, no journal, no log, no other command."""
import base64
import json
import os
import pathlib
import re
import urllib.parse

from test_sandbox import run

SECRET = 'tok/en+7 Zq"9§xyz'
FORMS = {
    "raw": "printf %s \"$TOKEN\"", "base64": "printf %s \"$TOKEN\" | base64 -w0",
    "base64, one before": "printf 'a%s' \"$TOKEN\" | base64 -w0",
    "base64, two before": "printf 'ab%sc' \"$TOKEN\" | base64 -w0",
    "base64, for URLs": "printf %s \"$TOKEN\" | base64 -w0 | tr +/ -_",
    "URL": "python3 -c 'import os, urllib.parse as u; print(u.quote(os.environ[\"TOKEN\"], safe=\"\"))'",
    "form": "python3 -c 'import os, urllib.parse as u; print(u.quote_plus(os.environ[\"TOKEN\"]))'",
    "JSON": "python3 -c 'import os, json; print(json.dumps(os.environ[\"TOKEN\"], ensure_ascii=False))'",
    "hexadecimal": "printf %s \"$TOKEN\" | od -An -tx1 | tr -d ' \\n'",
    "on standard error": "printf %s \"$TOKEN\" >&2",
    "in a failure": "printf %s \"$TOKEN\" >&2; exit 3",
    "cut in two": "python3 -c 'import os; t=os.environ[\"TOKEN\"]; "
                  "print(\"x\" * 496 + t + \"y\" * 2000 + t + \"z\" * 496)'",
}


def traces(data):
    """How the secret, or half of it, may be found in bytes."""
    raw = SECRET.encode()
    forms = [raw, raw[:9], raw[9:], json.dumps(SECRET, ensure_ascii=False)[1:-1].encode(), raw.hex().encode(),
             urllib.parse.quote(SECRET, safe="").encode(), urllib.parse.quote_plus(SECRET).encode()]
    for before in range(3):
        text = base64.b64encode(b"x" * before + raw)
        forms += [text[4:-4], base64.urlsafe_b64encode(b"x" * before + raw)[4:-4]]
    return [form for form in forms if form in data]


def steps():
    return [{"name": f"s{i}", "type": "command", "run": command, "secrets": ["TOKEN"], "on_error": "continue",
             "output_limit": 1000, "output_to_file": f"{i}.txt"} for i, command in enumerate(FORMS.values())]


def test_what_leaves_the_executor_holds_no_secret(tmp_path):
    more = [{"name": "file", "type": "command", "run": "printf %s \"$TOKEN\" > kept; wc -c < kept",
             "secrets": ["TOKEN"]},
            {"name": "other", "type": "command", "run": "cat kept; env"}]
    result = run(tmp_path, [*steps(), *more], secrets=["TOKEN"], TOKEN=SECRET)
    got = result["results"]
    assert got["file"]["stdout"].strip() == str(len(SECRET.encode())), "the command itself has it"
    assert got["other"]["stdout"].startswith("[secret TOKEN]") and "TOKEN=" not in got["other"]["stdout"]
    for i, what in enumerate(FORMS):
        assert "[secret" in json.dumps(got[f"s{i}"]), (what, got[f"s{i}"])
    assert not traces(json.dumps(result, ensure_ascii=False).encode())
    for path in [*tmp_path.rglob("*")]:
        # What a command itself writes into its workspace is there, and in the run's private copies of the workspace.
        if path.is_file() and path.name != "kept" and "/snapshots/objects/" not in str(path):
            assert not traces(path.read_bytes()), path
    for path in tmp_path.rglob("snapshots"):
        assert path.stat().st_mode & 0o077 == 0, "nobody else may read them"
    # the control: the same search finds it where it is
    assert traces((tmp_path / "ws/kept").read_bytes())


def test_without_asking_nobody_gets_it(tmp_path):
    got = run(tmp_path, [{"name": "a", "type": "command", "run": "echo [$TOKEN]"}], secrets=["TOKEN"],
              TOKEN=SECRET)["results"]
    assert got["a"]["stdout"] == "[]\n"


def test_a_secret_that_is_missing_or_too_short(tmp_path):
    step = [{"name": "a", "type": "command", "run": "touch ran", "secrets": ["TOKEN"]}]
    assert "not set" in run(tmp_path, step, secrets=["TOKEN"], code=1)["error"]["message"]
    assert "shorter" in run(tmp_path, step, secrets=["TOKEN"], TOKEN="abc", code=1)["error"]["message"]
    assert not os.path.exists(tmp_path / "ws/ran")


def test_only_what_the_workflow_lists(tmp_path):
    step = [{"name": "a", "type": "command", "run": "env", "secrets": ["TOKNE"]}]
    said = run(tmp_path, step, secrets=["TOKEN"], TOKEN=SECRET, code=2)
    assert re.search(r"w\.json:1:\d+: .*TOKNE.*TOKEN", said), said
    assert pathlib.Path(tmp_path / "ws").is_dir() and not list(tmp_path.glob("home/runs/*"))
