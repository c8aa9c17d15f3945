"""What a long loop costs: memory bounded by what is in flight, in a first life and in a resumed one, and a journal that
holds what an iteration returned twice (as the step's end and as the iteration's), however deep loops are nested."""
import json
import sqlite3

import pytest

from conftest import measured

RESULT = "r" * 1500
FEW, MANY = 8000, 32000  # FEW is enough to fill what has a size of its own, such as SQLite's cache of 16 MB


def loop(count, last_fails=False, **more):
    body = [{"name": "say", "type": "test_echo", "value": "{{ item }}" + RESULT,
             "fail": f"{{{{ item == {count} }}}}" if last_fails else False}]
    return {"name": "all", "type": "for_loop", "data_source": f"range(1, {count})", "steps": body, **more}


def file(treadle, name, *steps, **more):
    return treadle.file(f"{name}.json", json.dumps({"workflow": {"name": name, "steps": steps, **more}}))


def peak(treadle, *arguments, code=0):
    """The most memory that a command had, in KiB."""
    got, _, err, memory = measured(treadle, *arguments, "--quiet")
    assert got == code, err
    return memory


def journal(treadle, run):
    found = list((treadle.home / "runs" / run).glob("journal.db"))
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("more", [{}, {"parallel": True}], ids=["in order", "parallel"])
def test_memory_of_a_long_loop(treadle, more):
    few, many = (peak(treadle, "run", file(treadle, "w", loop(count, **more))) for count in (FEW, MANY))
    assert many < 1.25 * few


def test_memory_of_nested_loops(treadle):
    def nested(count):
        inner = loop(20)
        return {"name": "outer", "type": "for_loop", "data_source": f"range(1, {count})", "steps": [inner]}
    few, many = (peak(treadle, "run", file(treadle, "w", nested(count))) for count in (FEW // 20, MANY // 20))
    assert many < 1.25 * few


def test_memory_of_a_while_loop(treadle):
    def repeat(count):
        body = [{"name": "add", "type": "set_variable", "variables": {"n": "{{ n + 1 }}"}},
                {"name": "say", "type": "test_echo", "value": RESULT}]
        return {"name": "w", "type": "while_loop", "condition": f"n < {count}", "max_iterations": 10 ** 6,
                "steps": body}
    few, many = (peak(treadle, "run", file(treadle, "w", repeat(count), variables={"n": 0})) for count in (FEW, MANY))
    assert many < 1.25 * few


def test_memory_of_many_steps(treadle):
    """What steps have returned leaves memory as well, also in a run that is resumed."""
    peaks = {}
    for count in (500, 4000):
        steps = [{"name": f"s{i}", "type": "test_echo", "value": {"n": i, "text": "{{ text }}"}} for i in range(count)]
        steps += [{"name": "see", "type": "test_echo", "value": "{{ steps.s7.text }}{{ steps.s8.n }}"},
                  {"name": "end", "type": "test_echo", "fail": True}]
        name = f"s{count}"
        path = file(treadle, name, *steps, variables={"text": 20000 * "x"})
        peaks[count] = (peak(treadle, "run", path, "--run-id", name, code=1), peak(treadle, "resume", name, code=1))
    see = treadle("show", "s500", "--json", code=0).json["results"]["see"]
    assert see == 20000 * "x" + "8"
    for few, many in zip(peaks[500], peaks[4000]):
        assert many - few < 3500 * 8  # KiB: less than half of what they returned; the steps themselves take some


def test_memory_of_a_resumed_loop(treadle):
    peaks = []
    for count in (FEW, MANY):
        name = f"r{count}"
        peak(treadle, "run", file(treadle, name, loop(count, last_fails=True, parallel=True)), "--run-id", name, code=1)
        peaks.append(peak(treadle, "resume", name, code=1))
    assert peaks[1] < 1.25 * peaks[0]


def tasks(treadle, kind, count, size, **config):
    """A group of tasks whose answers have `size` bytes; the run fails behind it."""
    answers = {"fixtures": [{"match": {"step": "**"}, "reply": {"text": size * "x"}}]}
    where = "batch_config" if kind == "claude_batch" else "parallel_config"
    steps = [{"name": "all", "type": kind, "tasks": f"{{{{ range(1, {count}) }}}}",
              "task_template": {"prompt": "{{ item }}"}, where: {"max_parallel": 4, **config}},
             {"name": "end", "type": "test_echo", "fail": True}]
    return file(treadle, f"{kind}{count}", *steps), f"--mock={treadle.file('answers.json', json.dumps(answers))}"


def test_memory_of_many_tasks(treadle):
    """What the tasks of a group answer is in memory while they are under way, in a first life and in a resumed one, and
    while the results are written."""
    peaks = {}
    for count in (500, 1000):
        path, mock = tasks(treadle, "claude_batch", count, 40000, consolidate_results=False)
        name, peaks[count] = f"t{count}", []
        for command in (("run", path, mock, "--run-id", name, "--json", "--quiet"),
                        ("resume", name, "--json", "--quiet"), ("show", name, "--json")):
            code, out, err, most = measured(treadle, *command)
            assert code == (command[0] != "show"), err
            assert out.count(40000 * "x") == count
            peaks[count].append(most)
    for few, many in zip(peaks[500], peaks[1000]):
        assert many - few < 9000  # KiB: of 20 MB more, which were five times as much in memory


def test_memory_of_ids(treadle):
    """What tasks are called is read from a text, which is parsed for each of them: once at a time in memory."""
    peaks = []
    for count in (200, 800):
        items = [{"id": f"t{i}", "prompt": 120 * "x"} for i in range(count)]
        steps = [{"name": "plan", "type": "claude", "prompt": "plan",
                  "mock_response": json.dumps({"project": "demo", "tasks": items})},
                 {"name": "all", "type": "claude_batch", "tasks": "{{ steps.plan.tasks }}",
                  "task_template": {"id": "{{ steps.plan.project }}-{{ item.id }}", "prompt": "hello"}}]
        path, name = file(treadle, f"ids{count}", *steps), f"ids{count}"
        peaks.append(peak(treadle, "run", path, "--mock", "--run-id", name))
        ids = [task["task_id"] for task in treadle("show", name, "--json").json["results"]["all"]["batch_results"]]
        assert ids == [f"demo-t{i}" for i in range(count)]
    assert peaks[1] - peaks[0] < 20000  # KiB: 800 texts of 120 kB, once parsed, are 200 MB


@pytest.mark.parametrize("kind", ["claude_batch", "parallel_claude"])
def test_text_of_many_tasks(treadle, kind):
    """It has a size of its own; what does not fit is said to be left out, and is in the result all the same."""
    path, mock = tasks(treadle, kind, 345, 50000)
    result = treadle("run", path, mock, "--json", "--quiet", code=1).json["results"]["all"]
    batch = kind == "claude_batch"
    each = result["batch_results"] if batch else list(result["results"].values())
    assert [len(task["result"]["text"]) for task in each] == 345 * [50000]
    text = result["text" if batch else "combined_results"]
    assert text.count(50000 * "x") == 335 and text.count("(left out: this text holds at most 16 MB;") == 10
    assert ("## Task: task_345\n" if batch else "===[task_345]===\n") in text


def test_the_measure_sees_memory(treadle):
    """All iterations in one expression need memory, and are seen to."""
    length = {"name": "read", "type": "test_echo", "value": "{{ length(steps.all.iterations[*].results) }}"}
    few, many = (peak(treadle, "run", file(treadle, "w", loop(count), length)) for count in (FEW, MANY))
    assert many > 1.5 * few


def test_memory_of_the_answer(treadle):
    """--json tells all results, and holds one of them at a time."""
    peaks = {}
    for count in (FEW, 3 * FEW):
        steps = [{"name": f"s{i}", "type": "test_echo", "value": {"text": "{{ text }}"}} for i in range(count // 40)]
        path = file(treadle, "w", loop(count), *steps, variables={"text": 20000 * "x"})
        peaks[count] = peak(treadle, "run", path, "--json")
    assert peaks[3 * FEW] - peaks[FEW] < 10000  # KiB: of 32 MB more


def test_memory_of_show(treadle):
    """It has the tree of steps in memory, and of the results one at a time."""
    peaks = {}
    for count in (100, 400):
        say = {"type": "test_echo", "value": {"text": "{{ item || 0 }} {{ text }}"}}
        steps = [{**loop(count), "steps": [{**say, "name": "say"}]},
                 *[{"name": f"s{i}", "type": "test_echo", "value": {"text": "{{ text }}"}} for i in range(count)]]
        name = f"w{count}"
        treadle("run", file(treadle, name, *steps, variables={"text": 50000 * "x"}), "--run-id", name, code=0)
        code, out, err, peaks[count] = measured(treadle, "show", name, "--json")
        assert code == 0 and len(out) > count * 100000, err
        assert len(json.loads(out)["results"]["all"]["iterations"]) == count
    assert peaks[400] - peaks[100] < 8000  # KiB: of 30 MB more


def test_journal_holds_nothing_again(treadle):
    sizes = {}
    inner = {"name": "b", "type": "for_loop", "data_source": "range(1, 10)", "steps": [loop(10)]}
    nested = {"name": "a", "type": "for_loop", "data_source": "range(1, 10)", "steps": [inner]}
    for name, step in {"flat": loop(1000), "nested": nested}.items():
        treadle("run", file(treadle, name, step), "--run-id", name, "--quiet", code=0)
        db = sqlite3.connect(journal(treadle, name))
        texts = [row[0] for row in db.execute("SELECT data FROM record WHERE data IS NOT NULL")]
        texts += [row[0].decode() for row in db.execute("SELECT data FROM blob WHERE key IN (SELECT blob FROM record)")]
        assert sum(text.count(RESULT) for text in texts) == 2000, name
        sizes[name] = sum(map(len, texts))
    assert sizes["nested"] < 1.3 * sizes["flat"]


def test_results_of_long_loops_are_whole(treadle):
    """Wherever they are read from: an expression, --json, show, resume, a fork."""
    reads = [{"name": "count", "type": "test_echo", "value": "{{ length(steps.all.iterations) }}"},
             {"name": "some", "type": "test_echo", "value": "{{ steps.all.results[4999].results.say }}"},
             {"name": "out", "type": "test_echo", "value": "{{ steps.all.iterations[-1].item }}",
              "condition": "steps.all.iterations[17].success"}]
    path = file(treadle, "w", loop(5000, memory_limit="1KB"), *reads, output="{{ steps.all.iterations[41].item }}")
    ran = treadle("run", path, "--run-id", "w", "--json", "--quiet", code=0).json
    results = ran["results"]
    assert [i["item"] for i in results["all"]["iterations"]] == list(range(1, 5001))
    assert results["all"]["iterations"][7]["results"] == {"say": "8" + RESULT}
    assert results["count"] == 5000 and results["some"] == "5000" + RESULT and results["out"] == 5000
    assert ran["output"] == 42
    assert treadle("show", "w", "--json", code=0).json["results"] == results
    again = treadle("resume", "w", "--json", "--quiet", code=0).json
    assert again["results"] == results and again["output"] == 42
    fork = treadle("fork", "w", "--from", "some", "--run-id", "f", "--json", "--quiet", code=0).json
    assert fork["results"] == results
