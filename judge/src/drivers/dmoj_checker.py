"""Calls the function `check` of a checker module written for DMOJ, and prints what it says.

Arguments: files with the input, the output and the answer, and the points of the test. The module
lies beside this file, and so do the options that init.yml gives it. What such modules import from
DMOJ is here under the same names: results, errors and the conversion of texts.
"""
import importlib.util
import json
import os
import sys
import types


class CheckerResult:
    def __init__(self, passed, points, feedback=None, extended_feedback=None):
        self.passed, self.points = passed, points
        self.feedback, self.extended_feedback = feedback, extended_feedback


class InternalError(Exception):
    pass


def utf8bytes(text):
    return text.encode("utf-8") if isinstance(text, str) else text


def utf8text(data, errors="strict"):
    return data.decode("utf-8", errors) if isinstance(data, (bytes, bytearray)) else data


def package(name, **contents):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__dict__.update(contents)
    sys.modules[name] = module
    return module


def main():
    paths, points = sys.argv[1:4], float(sys.argv[4])
    here = os.path.dirname(os.path.abspath(__file__))
    package("dmoj")
    package("dmoj.result", CheckerResult=CheckerResult)
    package("dmoj.error", InternalError=InternalError)
    package("dmoj.utils")
    package("dmoj.utils.unicode", utf8bytes=utf8bytes, utf8text=utf8text)
    with open(os.path.join(here, "assay_checker_options.json")) as file:
        options = json.load(file)
    judge_input, output, answer = (open(path, "rb").read() for path in paths)
    out = os.dup(1)
    os.dup2(2, 1)
    path = os.path.join(here, "assay_checker_module.py")
    spec = importlib.util.spec_from_file_location("checker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = int(points) if points == int(points) else points
    try:
        found = module.check(
            output, answer, judge_input=judge_input, point_value=points, submission_source=b"",
            submission_language="", case_position=0, batch=0, binary_data=False, execution_time=0.0,
            problem_id="", **options)
    except UnicodeDecodeError:
        found = CheckerResult(False, 0, feedback="invalid unicode")
    if not isinstance(found, CheckerResult):
        found = CheckerResult(bool(found), points if found else 0)
    earned = found.points if found.points is not None else 0
    report = {"passed": bool(found.passed), "points": float(earned), "feedback": found.feedback or ""}
    os.write(out, json.dumps(report).encode())


main()
