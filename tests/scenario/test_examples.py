"""The smaller examples, as people run them: without keys, and to what they are there for."""
import json


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
