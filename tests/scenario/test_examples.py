"""The smaller examples, as people run them: without keys, and to what they are there for."""
import itertools
import json
import re
import subprocess

import pytest

from conftest import ROOT


def header_commands(path):
    """[(command, exit code)] of the lines `#   treadle …      # exit N` at the top of a workflow."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    return [(line[1:].strip(), int((re.search(r"# exit (\d+)", line) or [0, 0])[1]))
            for line in lines if line.startswith("#   ")]


SCRIPTED = {"repair", "service"}  # have a run.sh, which other tests run
DIRECTORIES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())


@pytest.mark.usefixtures("grammars")
@pytest.mark.parametrize("name", [name for name in DIRECTORIES if name not in SCRIPTED])
def test_the_commands_at_the_top_work_as_they_stand(treadle, examples, tmp_path, name):
    names = tmp_path / "bin"
    names.mkdir()
    (names / "treadle").symlink_to(treadle.path)
    env = {**treadle.env, "PATH": f"{names}:{treadle.env['PATH']}"}
    commands = header_commands(examples / name / f"{name}.yaml")
    assert commands and all(command.startswith("treadle ") for command, _ in commands)
    for command, code in commands:
        done = subprocess.run(["/bin/bash", "-c", command], env=env, cwd=examples / name, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == code, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()


def test_review_asks_a_person_about_what_is_serious(treadle, examples):
    directory = examples / "review"
    (treadle.cwd / "src").mkdir()
    (treadle.cwd / "src/main.c").write_text("int main(void) { return 0; }\n")
    (treadle.cwd / "src/parse.c").write_text("void parse(void) {}\n")
    run = ("run", directory / "review.yaml", "--workspace", ".", "--mock", directory / "fixtures.yaml", "--json")
    waiting = treadle(*run, "--run-id", "one", code=3).json
    assert waiting["error"]["step"] == "confirm" and waiting["error"]["message"].startswith("1 serious finding")
    assert waiting["usage"]["calls"] == 2
    treadle("approve", "one", "confirm", "--data", '{"note": "before the release"}', code=0)
    done = treadle("resume", "one", "--json", code=0).json
    assert done["output"] == "approve" and done["usage"]["calls"] == 2  # nobody was asked again
    assert json.loads((treadle.cwd / "outputs/findings.json").read_text()) == [
        {"severity": "serious", "finding": "strcpy into a buffer of 16 bytes"}]


def test_review_of_good_files_asks_nobody(treadle, examples):
    (treadle.cwd / "src").mkdir()
    (treadle.cwd / "src/main.c").write_text("int main(void) { return 0; }\n")
    done = treadle("run", examples / "review/review.yaml", "--workspace", ".", "--mock",
                   examples / "review/fixtures.yaml", "--json", code=0).json
    assert done["output"] == "clean" and "choice" not in done["results"]["confirm"]


def test_orders_are_counted_by_customer(treadle, examples):
    directory = examples / "orders"
    done = treadle("run", directory / "orders.yaml", "--workspace", directory, "--json", code=0).json
    want = [{"customer": "Ann", "orders": 2, "total": 55}, {"customer": "Cleo", "orders": 1, "total": 40}]
    assert done["output"] == want
    assert json.loads((treadle.cwd / "outputs/customers.json").read_text()) == want
    assert len((directory / "build/orders.jsonl").read_text().splitlines()) == 5


def test_every_example_is_valid_and_says_what_it_is(treadle, examples):
    files = sorted(examples.glob("*/*.yaml"))
    assert len(files) > 8
    for path in files:
        assert path.read_text().startswith("# "), path
        if path.name != "fixtures.yaml":
            checked = treadle("validate", path, code=0)
            assert not checked.err, checked


@pytest.mark.usefixtures("grammars")
def test_impact_reviews_a_file_with_what_depends_on_it(treadle, examples):
    treadle.file("app/cart.py", "def total(items):\n    return sum(items)\n")
    treadle.file("tests/test_cart.py", "from app.cart import total\n\ndef test_total():\n    assert total([1]) == 1\n")
    done = treadle("run", examples / "impact/impact.yaml", "file=app/cart.py", "--workspace", ".", "--mock", "--json",
                   code=0).json
    say = {name: branch["results"]["say"]["text"] for name, branch in done["results"]["review"]["branches"].items()}
    assert say["correctness"] == "Read app/cart.py. It defines total. What is wrong in it?"
    assert say["tests"] == "Which of total need more tests?"
    assert "tests/test_cart.py" in say["callers"] and done["usage"]["calls"] == 4


def test_summaries_of_every_file(treadle, examples):
    for number in range(5):
        treadle.file(f"{number}.txt", f"text {number}\n")
    done = treadle("run", examples / "summaries/summaries.yaml", "--workspace", ".", "--mock", "--json", code=0).json
    assert done["output"] == "5 of 5 files" and done["usage"]["calls"] == 5
    assert json.loads((treadle.cwd / "outputs/index.json").read_text()) == [
        {"file": f"{number}.txt", "summary": f"text {number}"} for number in range(5)]


def test_gate_deploys_when_somebody_says_so(treadle, examples):
    treadle.file("version.txt", "1.2\n")
    run = ("run", examples / "gate/gate.yaml", "--workspace", ".", "--mock", "--run-id")
    for run_id, answer, deployed in (("no", ["reject"], False), ("yes", ["approve"], True)):
        treadle(*run, run_id, code=3)
        assert not (treadle.cwd / "deployed.txt").exists()
        treadle(*answer, run_id, "ask", "--by", "me", code=0)
        assert treadle("resume", run_id, "--json", code=0).json["output"] == f"{answer[0]} by me"
        assert (treadle.cwd / "deployed.txt").exists() == deployed


def test_release_is_one_run_of_three_workflows(treadle, examples):
    done = treadle("run", examples / "release/release.yaml", "--mock", "--json", code=0).json
    assert done["output"] == ["engine", "shuttle"] and done["usage"]["calls"] == 6
    pages = done["results"]["each"]["iterations"][1]["results"]["page"]["pages"]
    assert pages == [f"In {language}: What is new in the shuttle?" for language in ("German", "French")]
    alone = treadle("run", examples / "release/translate.yaml", "text=hello", "--mock", "--json", code=0).json
    assert alone["output"] == "In German: hello"


def test_service_goes_on_after_a_kill(treadle, examples):
    done = subprocess.run([examples / "service/run.sh"], capture_output=True, text=True, timeout=60,
                          env={**treadle.env, "TREADLE": str(treadle.path)})
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    first, again = (json.loads(line)["run_id"] for line in lines[1:3])
    waiting, result = json.loads(lines[4]), json.loads(lines[-1])
    assert first == again == waiting["run_id"] == result["run_id"] and waiting["status"] == "waiting"
    assert result["status"] == "succeeded" and result["output"] == "Write two lines about snow."
