"""The rules of the comparators, each written down plainly from its description.

Standard input: rules with options, and pairs of output and answer. Standard output: for each rule and
pair whether it is accepted and for which part of the points, or null where the rule cannot be used.
"""
import json
import re
import sys
from collections import Counter
from decimal import Decimal


def lines_of(data):
    return re.split(rb"[\r\n]", data)


def filled(data):
    return [line for line in lines_of(data) if line]


def standard(out, ans):
    def shape(data):
        rows = [row.split() for row in lines_of(data)]
        return [row for row in rows if row]

    # A gap that has a line end must meet one that has: the lists of tokens of lines are the same.
    return shape(out) == shape(ans)


def rstripped(out, ans, filter_new_line=False):
    pick = filled if filter_new_line else lines_of
    return [row.rstrip() for row in pick(out)] == [row.rstrip() for row in pick(ans)]


def floats(out, ans, precision=6, error_mode="default"):
    epsilon = 10 ** -int(precision)

    def close(a, b):
        if error_mode == "absolute":
            return abs(a - b) <= epsilon
        if error_mode == "relative":
            ends = b * (1 - epsilon), b * (1 + epsilon)
            return min(ends) <= a <= max(ends)
        return abs(a - b) <= epsilon or (abs(b) >= epsilon and abs(1.0 - a / b) <= epsilon)

    rows = filled(out), filled(ans)
    if len(rows[0]) != len(rows[1]):
        return False
    for a_row, b_row in zip(*rows):
        a_row, b_row = a_row.split(), b_row.split()
        if len(a_row) != len(b_row):
            return False
        for a, b in zip(a_row, b_row):
            try:
                number = float(b)
            except ValueError:
                if a != b:
                    return False
                continue
            try:
                if not close(float(a), number):
                    return False
            except (ValueError, ZeroDivisionError):
                return False
    return True


def sorted_rule(out, ans, split_on="lines"):
    if split_on == "whitespace":
        return Counter(out.split()) == Counter(ans.split())
    key = lambda data: sorted(tuple(row.split()) for row in filled(data))
    return key(out) == key(ans)


def easy(out, ans):
    key = lambda data: Counter(re.sub(rb"\s", b"", data).lower())
    return key(out) == key(ans)


def linecount(out, ans):
    a, b = filled(out), filled(ans)
    if len(a) > len(b):
        return False, 0.0
    if not b:
        return True, 1.0
    count = sum(x.strip() == y.strip() for x, y in zip(a, b))
    return count == len(b), count / len(b)


def linematches(out, ans, point_distribution=(1,), filler_lines_required=True):
    a, b = filled(out), filled(ans)
    if len(b) != len(point_distribution) or not sum(point_distribution):
        return None
    if filler_lines_required and len(a) != len(b):
        return False, 0.0
    points = sum(p for x, y, p in zip(a, b, point_distribution) if x == y)
    return points > 0, points / sum(point_distribution)


def lcb(out, ans):
    a, b = out.strip().split("\n"), ans.strip().split("\n")
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        x, y = x.strip(), y.strip()
        if x == y:
            continue
        try:
            if [Decimal(t) for t in x.split()] != [Decimal(t) for t in y.split()]:
                return False
        except Exception:
            return False
    return True


def allclose(rows, want):
    try:
        a, b = [float(t) for t in rows], [float(t) for t in want]
    except ValueError:
        return False
    finite = lambda x: x == x and abs(x) != float("inf")
    return all(abs(x - y) <= 1e-8 + 1e-5 * abs(y) if finite(x) and finite(y) else x == y
               for x, y in zip(a, b))


def apps(out, ans, sets=True):
    rows = out.splitlines()
    if "\n".join(rows).strip() == ans.strip():
        return True
    if "\n".join(row.strip() for row in rows).strip() == ans.strip():
        return True
    want = [row.strip() for row in ans.split("\n") if row]
    if rows == [ans] or rows == want:
        return True
    rows = [row for row in rows if row]
    if rows == want:
        return True
    if len(rows) == len(want) and not all(x.isdigit() and y.isdigit() for x, y in zip(rows, want)):
        if allclose(rows, want):
            return True
    if not sets:
        return False
    a = [set(row.split()) for row in rows if row.split()]
    b = [set(row.split()) for row in want]
    if set(map(frozenset, a)) == set(map(frozenset, b)):
        return True
    try:
        near = lambda all: set(frozenset(round(float(t), 3) for t in s) for s in all)
        return near(a) == near(b)
    except (ValueError, OverflowError):
        return False


def sandbox_fusion(out, ans):
    a, b = out.strip().split("\n"), ans.strip().split("\n")
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        x, y = x.lower(), y.lower()
        if x.strip() == y.strip():
            continue
        try:
            x, y = float(x), float(y)
        except ValueError:
            return False
        if not abs(x - y) / max(abs(y), 1e-10) < 1e-5:
            return False
    return True


BYTES = {
    "dmoj-standard": standard, "dmoj-identical": lambda a, b: a == b, "dmoj-rstripped": rstripped,
    "dmoj-floats": floats, "dmoj-sorted": sorted_rule, "dmoj-easy": easy,
    "dmoj-unordered": lambda a, b: sorted_rule(a, b, "whitespace"), "dmoj-linecount": linecount,
    "dmoj-linematches": linematches,
}
TEXT = {
    "lcb": lcb, "apps": apps, "prime_code": lambda a, b: apps(a, b, False),
    "verl": lambda a, b: a.rstrip("\n") == b.rstrip("\n"), "sandbox_fusion": sandbox_fusion,
}


def main():
    request = json.load(sys.stdin)
    reply = []
    for name, options in request["rules"]:
        options = json.loads(options)
        verdicts = []
        for out, ans in request["pairs"]:
            if name in BYTES:
                found = BYTES[name](out.encode(), ans.encode(), **options)
            else:
                found = TEXT[name](out, ans)
            verdicts.append((found, float(found)) if isinstance(found, bool) else found)
        reply.append(verdicts)
    json.dump(reply, sys.stdout)


main()
