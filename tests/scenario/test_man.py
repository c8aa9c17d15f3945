"""The manual pages and the completion of shells: what is installed says what the program knows."""
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import ROOT

MACROS = {".SH", ".SS", ".PP", ".TP", ".IP", ".RS", ".RE", ".nf", ".fi", ".TH", ".ad", ".nh", ".br", ".BR", '.\\"'}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{name: (source, as it is read)}"""
    directory = tmp_path_factory.mktemp("man")
    subprocess.run([ROOT / "tools/gen_man.py", directory, "9.8.7"], check=True)
    shown = {}
    for page in directory.iterdir():
        done = subprocess.run(["man", "-l", "--warnings", page], capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        shown[page.name] = page.read_text(), done.stdout
    return shown


def test_only_known_requests(pages):
    """A line of prose that began with a dot would vanish."""
    for name, (source, _) in pages.items():
        for line in source.splitlines():
            if line[:1] in (".", "'"):
                assert line.split()[0] in MACROS, f"{name}: {line}"


def test_every_command_and_option_is_in_the_manual(pages, treadle):
    text = pages["treadle.1"][1]
    assert "treadle 9.8.7" in text and "treadle - run workflows" in text
    for name in re.findall(r"^  (\w+) ", treadle("help", code=0).out.split("First steps")[0], re.M):
        section = text[text.index(f"\n   treadle {name}\n"):]
        for option in re.findall(r"--[\w-]+", treadle("help", name, code=0).out.partition("Options:")[2]):
            assert option in section, f"{name} {option}"


def test_every_key_is_in_the_manual(pages):
    text = pages["treadle-workflow.5"][1]
    keys = 0
    for page in (ROOT / "docs").glob("*.md"):
        for table in re.findall(r"<!-- table: keys [^\n]*\n(.*?)<!-- end -->", page.read_text(), re.S):
            for key in re.findall(r"^\| `(\w+)` \|", table, re.M):
                keys += 1
                assert re.search(rf"^ +{key} \(", text, re.M), f"{page.name}: {key}"
    assert keys > 200
    assert not re.search(r"\\f[BIR]|\]\(|`", text)


def complete(treadle, *words):
    return treadle("__complete", *words, code=0).out.split()


def test_completion(treadle):
    treadle.file("w.yaml", "workflow: {name: w, steps: [{name: a, type: test_echo}]}")
    for run_id in ("first", "second"):
        treadle("run", "w.yaml", "--run-id", run_id, code=0)
    assert complete(treadle, "re") == ["resume", "reject"]
    assert {"run", "help", "serve"} <= set(complete(treadle, ""))
    assert complete(treadle, "--v") == ["--version"]
    assert complete(treadle, "help", "va") == ["validate"]
    assert sorted(complete(treadle, "resume", "")) == ["first", "last", "second"]
    assert complete(treadle, "rm", "last", "f") == ["first"]
    assert complete(treadle, "diff", "last", "f") == []          # a step
    assert complete(treadle, "resume", "--workflow", "f") == []  # a file, as the shell knows them
    assert complete(treadle, "resume", "--workflow", "x.yaml", "se") == ["second"]
    assert complete(treadle, "run", "f") == []
    assert complete(treadle, "run", "w.yaml", "--re") == ["--record", "--replay"]
    assert complete(treadle, "run", "--sandbox", "st") == ["strict", "standard"]
    assert complete(treadle, "run", "--sandbox", "=", "no") == ["none"]
    assert complete(treadle, "nonsense", "") == complete(treadle) == []


def test_completion_in_bash(treadle):
    at = 'COMP_WORDS=({} {}); COMP_CWORD={}; _treadle; echo "${{COMPREPLY[@]}}"'.format
    script = "; ".join([f"source {ROOT}/dist/completions/treadle.bash", at(treadle.path, "pr --o", 1),
                        at(treadle.path, "prune --o", 2), "complete -p treadle"])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=treadle.env)
    assert done.stdout.splitlines()[:2] == ["prune", "--older-than"] and "_treadle" in done.stdout.splitlines()[2], done


def other_shell(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed, so its completion is NOT tested (apt-get install {name})")
    return path


def test_completion_in_zsh(treadle):
    """The completion system proper needs a terminal; what it offers, and to whom it leaves the rest, does not."""
    shell = other_shell("zsh")
    subprocess.run([shell, "-f", "-n", ROOT / "dist/completions/_treadle"], check=True)
    script = (f"fpath=({ROOT}/dist/completions $fpath); autoload -Uz _treadle; _files() {{ print FILES }}; "
              "compadd() { shift; print -l -- ${(P)1} }; words=(\"$@\"); CURRENT=$#; _treadle")
    for typed, offered in (("pr", "prune"), ("prune --o", "--older-than"), ("run --sandbox st", "strict standard"),
                           ("run f", "FILES"), ("run w.yaml --re", "--record --replay")):
        done = subprocess.run([shell, "-f", "-c", script, "x", treadle.path, *typed.split()], capture_output=True,
                              text=True, env=treadle.env)
        assert done.stdout.split() == offered.split() and not done.stderr, (typed, done)


def test_completion_in_fish(treadle, tmp_path):
    shell = other_shell("fish")
    names = tmp_path / "bin"
    names.mkdir()
    (names / "treadle").symlink_to(treadle.path)
    treadle.file("flow.yaml", "")
    env = {**treadle.env, "PATH": f"{names}:{treadle.env['PATH']}"}
    for typed, offered in (("pr", "prune"), ("prune --o", "--older-than"), ("run --sandbox st", "standard strict"),
                           ("run fl", "flow.yaml"), ("run w.yaml --re", "--record --replay"), ("resume ", "last")):
        script = f"source {ROOT}/dist/completions/treadle.fish; complete -C 'treadle {typed}'"
        done = subprocess.run([shell, "-N", "-c", script], capture_output=True, text=True, env=env, cwd=treadle.cwd)
        assert sorted(done.stdout.split()) == sorted(offered.split()) and not done.stderr, (typed, done)


def test_what_is_installed(treadle, tmp_path):
    build = pathlib.Path(treadle.path).parent
    if not (build / "man/treadle.1").exists():
        pytest.skip("only the program was built")
    subprocess.run(["cmake", "--install", build, "--prefix", tmp_path / "usr"], check=True, capture_output=True)
    for name in ("bin/treadle", "share/man/man1/treadle.1", "share/man/man5/treadle-workflow.5",
                 "share/bash-completion/completions/treadle", "share/zsh/site-functions/_treadle",
                 "share/fish/vendor_completions.d/treadle.fish",
                 "share/doc/treadle/language.md", "lib/systemd/system/treadle.service"):
        assert (tmp_path / "usr" / name).exists(), name
