"""Where Treadle answers otherwise than pipeline_ex did, on purpose (tests/scenario/test_golden.py).

INTENDED  {workflow: {place: (our value or ..., the defect of the reference that this mends)}}; a place is a pattern
          such as `results.after` or `files.outputs/*`; None is our value where we have nothing
REFUSED   {workflow: (refused when loaded, or error when run; {part at fault: why}; what we say)}; the workflow is
          compared once more without these parts: STEP, STEP.KEY of its value, or (text, another text)
LIMITS    {first part of the workflow's name: what is added to the workflow}, for limits that stood elsewhere
"""

UNKNOWN = "D-02: unknown names became empty text, or stayed as they were, without a word"
UNKNOWN_IN_CONDITION = "D-05: unknown names in conditions were false, so a typing error skipped the step"
LITERAL = "D-34, 5.17: false was taken for no value at all"
TYPES = "D-04: numbers became text"
ARITHMETIC = "D-10: only one operator, and only integers"
BODY = "D-11: most step types could not stand in a loop"
CALLER = "D-01: the caller filled the holes of a workflow written inside"
WHILE = "D-09: variables that a loop sets were lost, and its results with them"
MET = "14.2 of what it documents: false at the limit; it was false at every other end instead, and missing there"
ZERO = "8.5, a trap: 0 was true, so `condition: lint.errors` ran what mends errors when there were none"
SCOPE = "5.10: an unknown scope silently meant global"
DIVISION = "8.2: what was divided by zero was 0, without a word"
MIXED = "D-04: text compared with a number was false without a word, and numbers had become text"
HYPHEN = "D-10: a hyphen in a field's name was a subtraction from a field that is not there, which was null"

SHAPE = "20.2: an empty step had a result of another shape"
CSV = "5.14: quoted fields were cut at their commas, and not quoted when written"
CRASH = "D-06: conditions written as a map that came out false crashed"
TUPLES = "D-14: results of parallel tasks could not be written, stored or read"


def skipped(condition):
    return {"success": True, "skipped": True, "reason": f"condition is false: {condition}"}


LIMITS = {"g12_depth": {"limits": {"max_depth": 5}}}

REFUSED = {
    "g01_set_variable": ("refused", {
        ("undef=[{{undef}}]", "undef=[]"): UNKNOWN, "arith.undef": UNKNOWN, "funcs.unknown": UNKNOWN,
        "funcs.divzero": DIVISION, "stepref.missing": UNKNOWN, "stepref.gv_missing": UNKNOWN, "stepref.inp": UNKNOWN},
        ["unknown function `foo`", "unknown step `nope`", "unknown variable `g9`"]),
    "g02_scopes": ("refused", {"bad": SCOPE, "e3": SCOPE}, ["`scope` is `weird`"]),
    "g05_transform_aggregate": (
        "refused", {"agg_weird": "5.13: an unknown function silently left the values as they were"},
        ["unknown function `weird`"]),
    "g06c_transform_src2": ("error", {"b": "5.13: the sum of an object was 0"}, ["needs numbers"]),
    "g08_conditions": ("refused", {"c_missing": UNKNOWN_IN_CONDITION, "c_hyphen": HYPHEN, "c_div0": DIVISION,
                                   "c_typemix": MIXED}, ["unknown name `nope`", "unknown name `phen`"]),
    "g08m_c_nested": ("refused", {("nope", "off"): UNKNOWN_IN_CONDITION}, ["unknown name `nope`"]),
    "g08n_list_false": ("refused", {"c": UNKNOWN_IN_CONDITION}, ["unknown name `nope`"]),
    "g09l_continue_on_error": ("refused", {"loop": "D-17: loop bodies were not checked"}, ["unknown step type `nope`"]),
    "g11b_nested_inherit": ("error", {"iso": CALLER}, ["`g`"]),
    "g11h_nested_vars_isolated": ("error", {("[{{x}}]", "[1]"): CALLER}, ["`x`"]),
    "g13d_cond_skip_ref": ("refused", {('"nope"', '"1 == 2"'): UNKNOWN_IN_CONDITION}, ["unknown name `nope`"]),
}

CLAUDE = {"success": True, "text": "one", "model": "claude-sonnet-5-5", "provider": "claude", "stop_reason": "end_turn",
          "turns": 1, "cost_usd": 7.8e-05,
          "usage": {"input_tokens": 34, "output_tokens": 1, "cache_read_tokens": 0, "cache_write_tokens": 0}}
PARALLEL = {"success": True, "results": {"t1": {"ok": True, "result": CLAUDE}},
            "combined_results": "===[t1]===\none"}
SET = {"scope": "global", "variable_count": 1}


def ran_in_loop(result):
    """Of g09j: two items, whose body the reference could not do."""
    return {"results.loop.completed_items": (2, BODY), "results.loop.success": (True, BODY),
            "results.loop.iterations.0.success": (True, BODY), "results.loop.iterations.0.error": (None, BODY),
            "results.loop.iterations.0.results": ({"sub": result}, BODY),
            "results.loop.iterations.1": ({"index": 1, "item": 2, "success": True, "results": {"sub": result}}, BODY)}


def ended_at_the_limit(iterations, variable):
    return {"results.w.iterations": (iterations, "5.12: a limit above 1000 was silently 1000"),
            "results.w.condition_met": (False, MET),
            "results.w.results": ({"inc": {"variables_set": [variable], **SET}}, WHILE)}


INTENDED = {
    "g01_set_variable": {
        "results.after": (7, TYPES), "results.arith.chain": (7, ARITHMETIC), "results.arith.div": (2.5, ARITHMETIC),
        "results.arith.float": (3.5, ARITHMETIC),
        **{f"results.arith.{key}": (value, TYPES) for key, value in
           (("add", 6), ("bare", 6), ("mul", 15), ("nospace", 6), ("sub", -2))},
        **{f"results.funcs.{key}": (value, TYPES) for key, value in
           (("add", 3), ("ceil", 3), ("divide", 3.5), ("floor", 2), ("max", 9), ("min", 2), ("multiply", 20), ("round",
                                                                                                               3),
            ("subtract", -2))},
        **{f"results.stepref.{key}": (7, TYPES) for key in ("field", "result", "whole")}},
    "g02_scopes": {"results.empty.variables_set": ([], SHAPE),
                   "results.empty.scope": ("global", SHAPE), "results.empty.variable_count": (0, SHAPE)},
    "g02c_interp_list": {"results.e": ('l=[104,105] l2=["a","b"]', "D-03: the bytes of lists were joined")},
    "g04_transform_map_sort_group": {
        "results.group_bool.group_bool.": (None, LITERAL),
        "results.group_bool.group_bool.false": ([{
            "id": 2, "name": "Bob", "dept": "ops", "age": 28, "score": 6.0, "active": False, "tags": ["b"],
            "addr": {"city": "Rome", "zip": "00100"}}], LITERAL)},
    "g07_file_ops": {"files.workspace/out/a.json.1.name": ("pear, green", CSV),
                     "files.workspace/out/a.json.1.qty": ("5", CSV),
                     "files.workspace/out/b.csv": ('id,n\n1,x\n2,"y,z"', CSV)},
    "g07b_json_to_xml": {
        "status": ("ok", "5.14: the reference does not implement it"),
        "files.workspace/out/x": (
            '<?xml version="1.0" encoding="UTF-8"?>\n<root><item><id>1</id><n>x</n></item>'
            '<item><id>2</id><n>y,z</n></item></root>\n', "5.14: the reference does not implement it")},
    "g07b_xml_to_json": {"error": ("invalid", "5.14: the reference does not implement it; the file is no XML")},
    "g07h_list_glob": {"status": ("ok", "5.14: patterns were regular expressions, not the documented globs")},
    "g08_conditions": {
        "results.off": (False, LITERAL), "results.c_f": (skipped("off"), LITERAL),
        "results.c_zero": (skipped("an.zero"), ZERO),
        "results.c_matches": ("ran", "D-07: * in a pattern was arithmetic")},
    "g08m_c_list": {"results.off": (False, LITERAL)},
    "g08m_c_or": {"results.off": (False, LITERAL)},
    "g08m_c_nested": {"status": ("ok", CRASH)},
    "g08n_not_false": {"status": ("ok", CRASH)},
    "g09e_streaming_loop_600": {"results.loop.batches_processed": (
        None, "20.2: of a long list the result had another shape")},
    "g09h_notlist": {"status": ("ok", "5.11: only lists were taken; the items of an object are {key, value}")},
    "g09j_substep_continue": {"status": ("ok", BODY)},
    "g09j_substep_data_transform": ran_in_loop({
        "sub": [1, 2], "metadata": {"operation_count": 0, "input_type": "list", "output_type": "list",
                                    "processed_at": "<time>"}}),
    "g09j_substep_pipeline": ran_in_loop({"q": {"variables_set": ["a"], **SET}}),
    "g09j_substep_test_echo": ran_in_loop(1),
    "g10_while_counter": {"results.after": ("c=5", WHILE),
                          **{k: v for k, v in ended_at_the_limit(5, "c").items() if k != "results.w.iterations"}},
    "g10c_while_result_cond": {"results.w.condition_met": (True, WHILE), "results.w.iterations": (3, WHILE),
                               "results.w.results": ({"st": {"variables_set": ["n"], **SET}}, WHILE)},
    "g10d_while_max_over": ended_at_the_limit(5000, "c"),
    "g11h_nested_vars_isolated": {"results.after": (1, TYPES)},
    "g13d_cond_skip_ref": {"results.b": ("true condition is false: 1 == 2", "worded otherwise")},
    "g14b_parallel_output_file": {"status": ("ok", TUPLES), "files.outputs/p.json": (PARALLEL, TUPLES)},
    "g14c_parallel_checkpoint": {
        "results.p.success": (True, TUPLES), "results.p.individual_results": (None, TUPLES),
        "results.p.results": (PARALLEL["results"], TUPLES),
        "results.p.combined_results": (PARALLEL["combined_results"], TUPLES)},
}
