"""Every workflow of pipeline_ex's public corpus loads and runs under --mock, and does what it says.

What is expected is derived from the files themselves: each model step must have been asked its parts, in order, with
the answers of earlier steps and the texts of the files where they belong, with the model, system prompt, limits and
tools that it names, and its answer must stand in the results and in its output file. The answers are fixtures, one for
each step. What a file needs beyond that, and what else it does, is in a test of its own.

The data is not part of this repository: TREADLE_SHARED names the directory (default: `shared` beside the checkout).
"""
import functools
import json
import os
import pathlib
import re
import shutil

import pytest
import yaml

from conftest import ROOT

SHARED = pathlib.Path(os.environ.get("TREADLE_SHARED") or ROOT.parent / "shared")
CORPUS = SHARED / "data/pipeline_ex/corpus"
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.yaml"))
REFUSED = {  # file: (place, what the message says)
    "test/fixtures/pipelines/nested_with_error.yaml": ("11:13", "unknown step type `invalid_step_type`"),
    "examples/meta/simple_genesis_test.yaml": ("4:1", "the file has no `workflow` key"),
}
MODELS = {"claude", "gemini", "claude_smart", "claude_session", "claude_extract", "claude_robust", "gemini_instructor"}
PRESETS = {"development": "sonnet", "production": "opus", "analysis": "opus", "chat": "haiku", "test": "haiku"}
DEFAULT_PRESET = {"claude_smart": None, "claude_session": "analysis", "claude_extract": "analysis",
                  "claude_robust": "production"}
TOOLS = {"Read", "Write", "Edit", "Bash", "Glob", "Grep"}  # those that there are; others are left out

pytestmark = pytest.mark.skipif(not FILES, reason=f"NOT TESTED: no reference data in {CORPUS}; set TREADLE_SHARED")


class Ran:
    """A finished run: .results, .sent {step: [request]}, the files."""

    def __init__(self, result, directory, record):
        self.result, self.directory = result, directory
        self.json = result.json
        self.results = self.json.get("results", {})  # none where it was refused
        lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        self.calls = [Call(line) for line in lines]

    def sent(self, step):
        return [call for call in self.calls if call.step == step]

    def read(self, *names):
        """The one file that matches."""
        found = sorted(self.directory.glob("/".join(names)))
        assert len(found) == 1, (names, found, sorted(map(str, self.directory.rglob("*.md"))))
        return found[0].read_text()


class Call:
    """A request as it was sent."""

    def __init__(self, line):
        self.step, self.turn, self.body = line["step"], line["turn"], line["request"]
        gemini = "contents" in self.body
        self.model = line["address"].partition(":")[0] if gemini else self.body["model"]
        config = self.body.get("generationConfig", {})
        self.limits = {"max_output_tokens": config.get("maxOutputTokens"), "temperature": config.get("temperature"),
                       "top_p": config.get("topP"), "top_k": config.get("topK")}
        first = self.body["contents"][0]["parts"] if gemini else self.body["messages"][0]["content"]
        self.prompt = first if isinstance(first, str) else "".join(part["text"] for part in first)
        self.system = "" if gemini else self.body.get("system", "")
        self.tools = [] if gemini else [tool["name"] for tool in self.body.get("tools", [])]

    @property
    def messages(self):
        return self.body.get("contents") or self.body["messages"]


def document(name):
    """{name, steps, …}, whatever the root looks like."""
    whole = yaml.safe_load((CORPUS / name).read_text())
    root = whole.get("workflow") or {**whole.get("pipeline", {}), **whole}
    return {**root, "steps": root.get("steps") or whole["steps"]}


def answer(step):
    return f"What {step} says."


def parts_of(step):
    prompt = step.get("prompt", [])
    return [{"type": "static", "content": prompt}] if isinstance(prompt, str) else prompt


def expected_prompt(step, files, said):
    texts = {"static": lambda p: p.get("content"), "file": lambda p: files[p["path"]],
             "previous_response": lambda p: said[p["step"]]}
    return "\n\n".join(texts[part["type"]](part) for part in parts_of(step))


def plain(step):
    """Whether the prompt can be told from the file alone."""
    text = json.dumps(step.get("prompt", []))
    return "{{" not in text and not re.search(r'"extract(_with)?":', text)


class Stage:
    """A copy of the corpus to run in."""

    def __init__(self, treadle):
        self.treadle = treadle
        self.directory, self.ran = treadle.cwd / "project", set()
        shutil.copytree(CORPUS, self.directory)
        self.directory.chmod(0o755)

    def file(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return text

    def run(self, name, *args, fixtures=(), default="fail", code=0):
        record = self.directory / "record.jsonl"
        self.file("fixtures.json", json.dumps({"fixtures": list(fixtures), "default": default}))
        record.unlink(missing_ok=True)
        result = self.treadle("run", name, "--mock", "fixtures.json", "--record", record, "--json", "--quiet", *args,
                              cwd=self.directory, code=code)
        self.ran.add(name)
        return Ran(result, self.directory, record)


@pytest.fixture
def stage(treadle):
    return Stage(treadle)


def runs(*names):
    """What a test runs of the corpus: all of these, or that of them which is its parameter. It is held to that."""
    def hold(test):
        @functools.wraps(test)
        def held(stage, **more):
            test(stage, **more)
            assert stage.ran >= ({more["name"]} if "name" in more else set(names))
        held.runs = set(names) & set(FILES)
        return held
    return hold


def says(step, text=None, **more):
    return {"match": {"step": step}, "reply": {"text": answer(step) if text is None else text}, **more}


def gives(step, data):
    return {"match": {"step": step}, "reply": {"json": data}}


def supply(stage, workflow):
    """The files that its prompts name, with a text of their own; {path: text}."""
    paths = [part["path"] for step in workflow["steps"] for part in parts_of(step) if part["type"] == "file"]
    return {path: stage.file(path, f"Text of {path}.\n") for path in paths if "{{" not in path}


def check_options(workflow, step, call):
    defaults = workflow.get("defaults", {})
    options = {**defaults.get("claude_options", {}), **step.get("claude_options", {})}
    if step["type"].startswith("gemini"):
        budget = {**defaults.get("gemini_token_budget", {}), **step.get("token_budget", {})}
        assert call.model == step.get("model") or defaults.get("gemini_model") or call.model.startswith("gemini-")
        for key, value in call.limits.items():
            assert value == budget.get(key), (key, value)
        return
    preset = step.get("preset") or defaults.get("claude_preset") or DEFAULT_PRESET.get(step["type"])
    model = options.get("model") or PRESETS.get(preset) or "sonnet"
    if step["type"] != "claude_smart" or preset:
        assert f"-{model}-" in call.model, (model, call.model)
    for key in ("system_prompt", "append_system_prompt"):
        assert options.get(key, "") in call.system
    if "allowed_tools" in options:
        assert set(call.tools) == set(options["allowed_tools"]) & TOOLS


def check_steps(ran, workflow, files, said, skipped=()):
    """What each model step at the top was asked and what became of its answer."""
    order = list(dict.fromkeys(call.step.split("/")[0] for call in ran.calls))
    assert order == [s["name"] for s in workflow["steps"] if s["type"].startswith(("claude", "gemini", "parallel"))
                     and s["name"] not in skipped]
    for step in workflow["steps"]:
        if step["type"] not in MODELS or step["name"] in skipped:
            continue
        calls = ran.sent(step["name"])
        check_options(workflow, step, calls[0])
        if plain(step) and step["type"] in ("claude", "gemini", "claude_smart", "claude_robust"):
            assert calls[0].prompt == expected_prompt(step, files, said)
        result = ran.results[step["name"]]
        assert result["success"] is True and not result.get("degraded")
        if step["type"] != "claude_extract" and "output_schema" not in step:
            assert result["text"] == said[step["name"]]
        if "output_to_file" in step and "{{" not in step["output_to_file"]:
            directory = workflow.get("output_dir") or workflow.get("defaults", {}).get("output_dir") or "./outputs"
            written = (ran.directory / directory / step["output_to_file"]).read_text()
            assert (json.loads(written) == result["data"]) if "data" in result else (written == result["text"])


# Run as they are: no inputs, an answer for each step.
PLAIN = [
    "ai_project_innovation_pipeline.yaml", "engineering_innovation_single_step.yaml", "test_claude.yaml",
    "test_claude_robust.yaml", "test_simple_workflow.yaml", "test_sonnet_model.yaml",
    "test/fixtures/workflows/simple_workflow.yaml", "examples/claude_format_issue_simple.yaml",
    "examples/claude_live_test.yaml", "examples/claude_robust_example.yaml", "examples/claude_session_example.yaml",
    "examples/claude_smart_example.yaml", "examples/claude_smart_simple_live.yaml",
    "examples/context_management_example.yaml", "examples/enhanced_features_simple_live.yaml",
    "examples/hooks_example.yaml", "examples/memory_compaction_example.yaml", "examples/simple_test.yaml",
    "examples/subagents_example.yaml", "examples/test_live_simple.yaml",
    "research_paper_improvement_gemini_pro_delayed.yaml",
]


@runs(*PLAIN)
@pytest.mark.parametrize("name", [name for name in PLAIN if name in FILES])
def test_plain(stage, name):
    workflow = document(name)
    files = supply(stage, workflow)
    said = {step["name"]: answer(step["name"]) for step in workflow["steps"]}
    ran = stage.run(name, fixtures=[says(step) for step in said])
    assert set(ran.results) == set(said)
    check_steps(ran, workflow, files, said)


@runs("workflows/explain_code.yaml", "workflows/quick_review.yaml")
def test_prompts_of_the_command_line(stage):
    """Undeclared inputs by KEY=VALUE, in capitals as the files' own usage notes have it."""
    for name, step, model in (("explain_code", "explain", "gemini-flash-lite-latest"), ("quick_review", "review",
                                                                                        "haiku")):
        code = stage.file("src/auth.ex", "defmodule Auth do\nend\n")
        ran = stage.run(f"workflows/{name}.yaml", "CODE_FILE=src/auth.ex", fixtures=[says(step)])
        call, = ran.calls
        parts = parts_of(document(f"workflows/{name}.yaml")["steps"][0])
        assert call.prompt == f"{code}\n\n{parts[1]['content']}" and model in call.model
        pattern = {"explain": "explanation_*.md", "review": "quick_review_*.md"}[step]
        assert ran.read("outputs", pattern) == answer(step)
        missing = stage.run(f"workflows/{name}.yaml", code=2)  # before the first step
        assert "code_file" in missing.json["error"]["message"] and not missing.calls


@runs("simple_genesis.yaml")
@pytest.mark.parametrize("arguments, request_", [((), "default request"), (("pipeline_request=a poem",), "a poem")])
def test_simple_genesis(stage, arguments, request_):
    ran = stage.run("simple_genesis.yaml", *arguments, fixtures=[says("create_pipeline", "name: x")])
    assert f"for the following request: {request_}\n" in ran.calls[0].prompt
    assert ran.results["create_pipeline"]["text"] == "name: x"


@runs("pipelines/meta/genesis_pipeline.yaml")
def test_genesis(stage):
    """The schemas are pipeline_ex's short form; the data goes on into the next prompts."""
    name = "pipelines/meta/genesis_pipeline.yaml"
    genome = {"pipeline_genome": {
        "identity": {key: key for key in ("name", "description", "version", "purpose")},
        "traits": {"performance_profile": "balanced", "error_handling_strategy": "fail_fast",
                   "optimization_preferences": ["caching"], "complexity_level": "simple"},
        "chromosomes": {
            "step_sequences": [{"step_name": "a", "step_type": "claude", "provider": "p", "purpose": "q",
                                "dependencies": []}],
            "provider_mappings": {"primary_provider": "p", "fallback_provider": "q", "provider_rules": []},
            "prompt_patterns": [{"pattern_type": "analysis", "template": "t", "variables": []}]},
        "metadata": {"estimated_tokens": 5, "estimated_duration_ms": 6, "resource_requirements": {}}}}
    guide = {"documentation": {
        "pipeline_name": "n", "description": "d", "purpose": "p",
        "usage": {"basic_usage": "b", "example_command": "e", "required_inputs": [], "expected_outputs": []},
        "configuration": {"customizable_parameters": [], "environment_variables": [], "provider_requirements": []},
        "performance": {"estimated_execution_time": "1", "token_usage_estimate": "2", "cost_estimate": "3"},
        "examples": [{"scenario": "s", "input": "i", "expected_output": "o"}]}}
    fixtures = [says("analyze_requirements"), says("synthesize_pipeline_yaml", "steps: []"), says("validate_pipeline"),
                gives("generate_documentation", guide)]
    ran = stage.run(name, "pipeline_request=Sort mail", fixtures=[gives("generate_pipeline_dna", genome), *fixtures])
    assert "Request: Sort mail\n" in ran.sent("analyze_requirements")[0].prompt
    assert "Analysis: What analyze_requirements says.\n" in ran.sent("generate_pipeline_dna")[0].prompt
    sent = ran.sent("synthesize_pipeline_yaml")[0].prompt
    assert json.loads(re.search(r"Pipeline DNA: (\{.*\})", sent, re.S)[1]) == genome
    assert "```yaml\nsteps: []\n```" in ran.sent("validate_pipeline")[0].prompt
    assert "```yaml\nWhat validate_pipeline says.\n```" in ran.sent("generate_documentation")[0].prompt
    assert ran.results["generate_pipeline_dna"]["data"] == genome
    assert ran.results["generate_documentation"]["data"] == guide
    del genome["pipeline_genome"]["traits"]
    again = stage.run(name, "pipeline_request=x", fixtures=[gives("generate_pipeline_dna", genome), *fixtures], code=1)
    assert "traits" in again.json["error"]["message"]
    assert "traits" in json.dumps(again.sent("generate_pipeline_dna")[1].messages[-1])  # asked again with the error


@runs("blog_generator.yaml")
def test_blog_generator(stage):
    steps = ("understand_requirements", "generate_content", "review_and_refine")
    ran = stage.run("blog_generator.yaml", "requirements=about cats", fixtures=[says(step) for step in steps])
    first, second, third = (ran.sent(step)[0].prompt for step in steps)
    assert "generation requirements:\nabout cats\n" in first
    assert f"requirements:\n{answer('understand_requirements')}\n" in second
    assert f"content:\n{answer('generate_content')}\n" in third and len(ran.calls) == 3


@runs("examples/claude_batch_example.yaml")
def test_batch(stage):
    name = "examples/claude_batch_example.yaml"
    workflow = document(name)
    ran = stage.run(name, fixtures=[{"match": {"text": r"(?:Field: )?(.*)$"}, "reply": {"text": "Re: $1"}}])
    for step in workflow["steps"]:
        before = "".join(f"{part['content']}\n\n" for part in step.get("prompt", []))
        result = ran.results[step["name"]]
        assert (result["total_tasks"], result["successful_tasks"],
                result["failed_tasks"]) == (len(step["tasks"]),) * 2 + (0,)
        for task, entry in zip(step["tasks"], result["batch_results"], strict=True):
            own = task["prompt"][0]["content"]
            call, = ran.sent(f"{step['name']}/{task['task_id']}")
            assert call.prompt == before + own and f"-{PRESETS[step['preset']]}-" in call.model
            assert entry["task_id"] == task["task_id"] and entry["status"] == "success"
            assert entry["result"]["text"] == "Re: " + own.removeprefix("Field: ")
            assert entry["result"]["text"] in result["text"]


@runs("examples/claude_extract_example.yaml")
def test_extract(stage):
    article = ("See [docs](https://example.org/py).\n\n```python\nprint(1)\n```\n\n"
               "- You should use venv.\n- Key: test early.\n")
    facts = {"title": "Python", "code": ["print(1)"]}
    ran = stage.run("examples/claude_extract_example.yaml", fixtures=[
        says("generate_content", article), gives("extract_json", facts), says("extract_markdown", article),
        says("extract_summary", "Python in short.")])
    for step in ("extract_json", "extract_markdown", "extract_summary"):
        assert article.strip() in ran.sent(step)[0].prompt
    assert ran.results["extract_json"]["data"] == facts
    assert ran.results["extract_json"]["extraction_metadata"]["format"] == "json"
    markdown = ran.results["extract_markdown"]
    assert markdown["text"].startswith("#") and "print(1)" in markdown["text"]
    assert any("venv" in point or "early" in point for point in markdown["extracted"]["key_points"])
    assert len(ran.results["extract_summary"]["extracted"]["summary"][0]) <= 100
    assert "extraction_metadata" not in ran.results["extract_summary"]


def test_session_remembers(stage):
    name = "examples/claude_session_example.yaml"
    said = {step["name"]: answer(step["name"]) for step in document(name)["steps"]}
    for run in range(2):  # the second goes on where the first has ended
        ran = stage.run(name, fixtures=[says(step) for step in said])
        texts = [[m["content"] if isinstance(m["content"], str) else m["content"][0]["text"] for m in call.messages]
                 for call in ran.calls]
        asked = [parts_of(step)[0]["content"] for step in document(name)["steps"]]
        assert [len(t) for t in texts] == [6 * run + n for n in (1, 3, 5)]
        assert texts[2][-5:] == [asked[0], said["session_start"], asked[1], said["session_continue"], asked[2]]
        assert [ran.results[step]["claude_session_metadata"]["turn"] for step in said] == [3 * run + n for n in (1, 2,
                                                                                                                 3)]


def test_robust_fallbacks(stage):
    """Each of the steps, when no answer comes."""
    name = "examples/claude_robust_example.yaml"
    before = stage.run(name, fixtures=[says(step["name"]) for step in document(name)["steps"]])
    assert not any(result.get("degraded") for result in before.results.values())
    ran = stage.run(name, fixtures=[
        {"match": {"step": "robust_with_simplified_fallback", "text": "^Give a brief"}, "reply": {"text": "Four."}},
        {"match": {}, "error": {"status": 400, "message": "broken"}}])
    got = {step: result["fallback_type"] for step, result in ran.results.items()}
    assert got == {"robust_with_retry": "graceful_degradation", "robust_with_cache_fallback": "cached_response",
                   "robust_with_simplified_fallback": "simplified_prompt",
                   "robust_with_emergency_fallback": "emergency_response"}
    assert all(result["degraded"] is True and "broken" in result["original_error"] for result in ran.results.values())
    assert ran.results["robust_with_cache_fallback"]["text"] == answer("robust_with_cache_fallback")
    assert ran.results["robust_with_simplified_fallback"]["text"] == "Four."
    assert ran.results["robust_with_emergency_fallback"]["text"].startswith("EMERGENCY")
    assert ran.results["robust_with_retry"]["text"] in ran.sent("robust_with_simplified_fallback")[0].prompt


@runs("examples/comprehensive_config_example.yaml")
def test_comprehensive(stage):
    """Functions, tasks side by side in directories of their own, instructor, conditions, all options."""
    name = "examples/comprehensive_config_example.yaml"
    workflow = document(name)
    files = {"./lib/pipeline/config.ex": stage.file("lib/pipeline/config.ex", "defmodule Config do\nend\n")}
    documentation = {"name": "Write", "input": {"file_path": "documentation.md", "content": "All of it."}}
    function = {"name": "comprehensive_analysis", "input": {"quality_score": 7, "issues": ["long"]}}

    def run(score, **more):
        return stage.run(name, fixtures=[
            {"match": {"step": "comprehensive_analysis", "turn": 1},
             "reply": {"text": "Too long.", "tool_calls": [function]}},
            {"match": {"step": "parallel_tasks/documentation", "turn": 1}, "reply": {"tool_calls": [documentation]}},
            says("parallel_tasks/documentation", "Written."), gives("parallel_tasks/testing", {"coverage": 93}),
            gives("quality_assessment", {"text": "So so.", "overall_score": score}), says("implement_fixes"),
            says("final_review"),
            says("deployment_prep")], **more)

    ran = run(9)
    analysis = ran.sent("comprehensive_analysis")[0]
    declared = analysis.body["tools"][0]["functionDeclarations"][0]
    form, = (value for key, value in declared.items() if key.startswith("parameters"))
    assert declared["name"] == "comprehensive_analysis" and form["required"] == ["quality_score", "issues"]
    assert ran.results["comprehensive_analysis"]["function_calls"][0]["arguments"] == function["input"]
    said = {"comprehensive_analysis": "Too long."}
    check_options(workflow, workflow["steps"][0], analysis)
    assert analysis.prompt == expected_prompt(workflow["steps"][0], files, said)
    check_options(workflow, workflow["steps"][1], ran.sent("implement_fixes")[0])
    assert "\n\nToo long.\n\n" in ran.sent("implement_fixes")[0].prompt
    assert ran.sent("parallel_tasks/documentation")[0].prompt == "Create comprehensive documentation:\n\nToo long."
    assert ran.sent("parallel_tasks/testing")[0].tools == ["Write", "Edit", "Bash"]
    assert (stage.directory / "workspace/docs/documentation.md").read_text() == "All of it."
    assert ran.sent("quality_assessment")[0].prompt == "Assess the overall quality after fixes:\n\n93"
    assert ran.sent("quality_assessment")[0].model == "gemini-2.0-flash"
    review = ran.sent("final_review")[0]
    assert review.model == "gemini-2.5-flash" and review.limits == workflow["defaults"]["gemini_token_budget"]
    assert review.prompt.endswith("\n\nAll of it.") and '"overall_score"' in review.prompt
    assert ran.sent("deployment_prep")[0].prompt == f"Prepare deployment package:\n\n{answer('final_review')}"
    assert json.loads((stage.directory / "outputs/quality_report.json").read_text()) == {"text": "So so.",
                                                                                         "overall_score": 9}
    assert (stage.directory / "outputs/documentation.md").read_text() == "Written."
    assert json.loads((stage.directory / "outputs/test_suite.json").read_text()) == {"coverage": 93}
    worse = run(7)
    assert worse.results["deployment_prep"]["skipped"] is True and not worse.sent("deployment_prep")


@runs("examples/schema_validation_example.yaml")
def test_schema_validation(stage):
    name = "examples/schema_validation_example.yaml"
    analysis = {"analysis": "A function that greets the world, which is a good thing to do.", "score": 8.5,
                "recommendations": [{"priority": "low", "action": "Add a docstring"}]}
    tests = {"total_tests": 3, "passed": 2, "failed": 1, "status": "partial"}
    report = {"sections": [{"title": "All", "content": "Fine", "word_count": 1}], "total_pages": 1}
    fixtures = [gives("analyze_code", analysis), gives("run_tests", tests), gives("generate_report", report)]
    ran = stage.run(name, fixtures=fixtures)
    assert f"\n{analysis['analysis']}\n\nScore: 8.5/10\n" in ran.sent("generate_report")[0].prompt
    assert [ran.results[step]["data"] for step in ran.results] == [analysis, tests, report]
    short = {**analysis, "analysis": "Too short.", "extra": 1}
    ran = stage.run(name, fixtures=[{"match": {"step": "analyze_code", "turn": 1}, "reply": {"json": short}},
                                    *fixtures])
    again = json.dumps(ran.sent("analyze_code")[1].messages[-1])
    assert "/analysis" in again and "/extra" in again and ran.results["analyze_code"]["turns"] == 2
    ran = stage.run(name, fixtures=[fixtures[0], gives("run_tests", {**tests, "status": "odd"}), fixtures[2]], code=1)
    assert ran.json["error"]["class"] == "schema" and "/status" in ran.json["error"]["message"]
    assert not ran.sent("generate_report")


@runs("research_paper_improvement_native_loop.yaml")
def test_native_loop(stage):
    """Five rounds, each on the paper that the one before has written."""
    name = "research_paper_improvement_native_loop.yaml"
    stage.file("../research_papers/tex/ResearchProposal-ChiralNarrativeSynthesis_3.tex", "Paper 0")
    ran = stage.run(name, fixtures=[
        {"match": {"step": "**/create_improved_paper", "turn": 1, "text": r"(?s)Paper (\d).*with format: (\S+)"},
         "reply": {"tool_calls": [{"name": "Write", "input": {"file_path": "$2", "content": "Paper $1+"}}]}},
        {"match": {"step": "**/analyze_and_improve", "text": r"This is iteration (\d)"}, "reply": {"text": "Idea $1"}},
        says("**/create_improved_paper"), says("**/iteration_summary")])
    loop = ran.results["improvement_loop"]
    assert loop["iterations"] == 5 and loop["max_iterations_reached"] is True
    asked = [call.prompt for call in ran.calls if call.step.endswith("/analyze_and_improve")]
    for i, prompt in enumerate(asked):
        assert f"This is iteration {i} of" in prompt and f"Paper 0{'+' if i else ''}" in prompt
    for i in range(5):
        paper, = (c.prompt for c in ran.sent(f"improvement_loop/{i}/create_improved_paper") if c.turn == 1)
        assert f"Paper 0{'+' if i else ''}\n" in paper and f"\n\nIdea {i}\n\n" in paper
        assert ran.read("workspace", f"*_iteration_{i}_improved_paper.md") == "Paper 0+"
        assert ran.read("outputs", "**", f"*_iteration_{i}_analysis.md") == f"Idea {i}"
        summary, = (c.prompt for c in ran.sent(f"improvement_loop/{i}/iteration_summary"))
        assert f"summary of iteration {i + 1} improvements" in summary and f"Idea {i}" in summary
    assert len(asked) == 5


def test_timestamped_output(stage):
    name = "research_paper_improvement_gemini_pro_delayed.yaml"
    supply(stage, document(name))
    ran = stage.run(name, fixtures=[says("analyze_and_improve_research")])
    assert ran.read("outputs", "*_improved_chiral_narrative_synthesis.md") == answer("analyze_and_improve_research")


@runs("examples/claude_agent_hello_world.yaml")
def test_hello_world(stage, tmp_path):
    """Its directory is an absolute one: fine within the workspace, refused outside of it."""
    name = "examples/claude_agent_hello_world.yaml"
    text = (stage.directory / name).read_text()
    absolute = re.search(r'cwd: "(/.*)"', text)[1]
    write = {"match": {"turn": 1}, "reply": {"tool_calls": [
        {"name": "Write", "input": {"file_path": "hello_world.txt", "content": "Hello, THE World!"}}]}}
    refused = stage.run(name, fixtures=[write], code=1)
    assert f"{absolute} is outside of" in refused.json["error"]["message"]
    place = tmp_path / "user/deploy_testing"
    place.mkdir(parents=True)
    here = stage.directory / "hello.yaml"
    here.write_text(text.replace(absolute, str(place)))
    for workspace in (place, place.parent):
        ran = stage.run("hello.yaml", "--workspace", workspace, fixtures=[write, says("*", "Done.")])
        assert (place / "hello_world.txt").read_text() == "Hello, THE World!"
        assert ran.calls[0].tools == ["Write"] and ran.results["create_hello_world"]["text"] == "Done."
        (place / "hello_world.txt").unlink()


@runs("test/fixtures/pipelines/simple_nested.yaml", "test/fixtures/pipelines/test_nested_basic.yaml")
@pytest.mark.parametrize("name, results", [
    ("test/fixtures/pipelines/simple_nested.yaml",
     {"nested_step1": "nested_value_1", "nested_step2": "nested_value_2", "nested_final": "nested_complete"}),
    ("test/fixtures/pipelines/test_nested_basic.yaml",
     {"set_data": "test_data", "nested_step": {"echo": "nested_result"}, "verify": "verification_complete"}),
])
def test_fixtures_of_its_own_tests(stage, name, results):
    assert stage.run(name).results == results


@runs("test/fixtures/pipelines/context_inherit_test.yaml")
def test_context_inherited(stage):
    stage.file("parent.yaml", json.dumps({"workflow": {
        "name": "parent", "global_vars": {"parent_var": "from the parent"}, "steps": [
            {"name": "call", "type": "pipeline", "pipeline_file": "test/fixtures/pipelines/context_inherit_test.yaml",
             "inputs": {"test_input": "an input"}, "config": {"inherit_context": True}, "outputs": ["combined_result"]},
            {"name": "after", "type": "test_echo", "value": "{{steps.call.combined_result}}"}]}}))
    ran = stage.run("parent.yaml")
    assert ran.results["after"] == "Using parent variable: from the parent and Using input: an input"
    alone = stage.run("test/fixtures/pipelines/context_inherit_test.yaml", code=2)
    assert all(name in alone.json["error"]["message"] for name in ("global_vars.parent_var", "--input test_input=…"))


@runs("examples/data_transform_example.yaml")
def test_data_transform(stage):
    name = "examples/data_transform_example.yaml"
    orders = [{"id": i, "user_id": u, "total": t, "status": s, "created_at": "2025-01-01"} for i, u, t, s in
              ((1, 1, 250, "completed"), (2, 2, 99, "completed"), (3, 3, 500, "completed"), (4, 1, 120.5, "completed"),
               (5, 2, 300, "pending"), (6, 3, 150, "cancelled"))]
    users = [{"id": i, "name": n, "email": f"{n}@example.org", "tier": t} for i, n, t in
             ((1, "Ann", "gold"), (2, "Bob", "bronze"), (3, "Cid", "silver"))]
    products = [{"id": i, "name": f"p{i}", "category": c, "price": 5, "rating": r} for i, c, r in
                ((1, "electronics", 4.5), (2, "books", 4.9), (3, "clothing", 3.9), (4, "toys", 4.1))]
    ran = stage.run(name, fixtures=[gives("generate_sample_data", {"orders": orders, "users": users,
                                                                   "products": products}),
                                    says("generate_report")])
    high = ran.results["filter_high_value_orders"]["high_value_orders"]
    assert [o["id"] for o in high] == [3, 1, 4]
    enriched = ran.results["enrich_orders_with_users"]["enriched_orders"]
    assert [(o["total"], o["name"], o["tier"]) for o in enriched] == [(500, "Cid", "silver"), (250, "Ann", "gold"),
                                                                      (120.5, "Ann", "gold")]
    tiers = ran.results["group_by_user_tier"]["orders_by_tier"]
    assert {t: [o["total"] for o in os_] for t, os_ in tiers.items()} == {"silver": [500], "gold": [250, 120.5]}
    assert ran.results["calculate_tier_stats"]["gold_tier_avg"] == 185.25
    premium = ran.results["categorize_products"]["premium_products"]
    assert [(p["rating"], p["category"]) for p in premium] == [(4.9, "media"), (4.5, "tech"), (4.1, "toys")]
    report = ran.sent("generate_report")[0].prompt
    for line, value in (("High-value completed orders", high), ("Orders by user tier", tiers),
                        ("Premium products (rating > 4.0)", premium)):
        said = json.loads(re.search(re.escape(line) + r": ([\[{].*[\]}])", report)[1])
        assert said == value or value in said.values(), line
    assert "Gold tier average order value: " in report and "185.25" in report


@runs("examples/performance_demo.yaml")
def test_performance_demo(stage):
    name = "examples/performance_demo.yaml"
    stage.file("examples/test_data.txt", "some text\n")
    stage.file("workspace/examples/test_data.txt", "some text\n")
    ran = stage.run(name)
    assert ran.results["process_items_efficiently"]["total_items"] == 0
    assert ran.results["transform_data_lazily"]["transform_data_lazily"] == []
    copies = [path.read_text() for path in stage.directory.rglob("large_copy.txt")]
    assert copies == ["SOME TEXT\n"]


def test_nothing_is_left_out():
    """Every file of the corpus runs in a test above, or is refused in one below."""
    run = set().union(*(getattr(test, "runs", ()) for test in globals().values()))
    assert run == set(FILES) - set(REFUSED)


@pytest.mark.parametrize("name", sorted(set(FILES) - set(REFUSED)))
def test_loads(stage, name):
    supply(stage, document(name))
    result = stage.treadle("validate", name, cwd=stage.directory)
    assert result.code == 0, result


@pytest.mark.parametrize("name", [name for name in FILES if name in REFUSED])
def test_refused(stage, name):
    place, message = REFUSED[name]
    for command in (("validate",), ("run", "--mock")):
        result = stage.treadle(*command, name, cwd=stage.directory, code=2)
        assert f"{name}:{place}: error: {message}" in result.err, result
    assert not (stage.directory / "workspace").exists()
