"""Random small templates that mix every construct that elver runs, from a seed: expressions with operators, filters, tests and methods
over texts, numbers, lists and dicts; statements, white-space control, scopes, macros and loops. Most fail or print something
short; both are what is compared. Left out is what prints an address. A few constructs that elver says it lacks are among them.
"""

import random

TEXTS = ["", " ", "a", "Abc", "hello world", " pad ", "x,y,,z", "a\\nb\\r\\nc", "Ünï çödé", "日本語", "<b>&amp;</b>", "it\\'s", "123", "-4.5", "1e3", "0x1F", "true",
         "%s and %d", "{} {0} {a}", "ß İ ǆ ﬁ", "a-b_c d", "\\t\\u00e9\\x41", "👩‍💻", "aaa", "one two three four five six", "</think>", "{\\\"k\\\": 1}"]
NAMES = ["s", "t", "n", "m", "f", "b", "z", "l", "ll", "d", "dd", "words", "messages", "undefined_name", "ns.x", "ns.y", "loop.index", "v"]
ATTRIBUTES = ["role", "content", "a", "b", "items", "x", "0", "name", "keys", "missing"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
PLAIN_FILTERS = """capitalize count default first float indent int items join last length list lower max min reverse safe sort string title tojson trim
unique upper d dictsort wordcount""".split()
PLAIN_TESTS = """boolean defined undefined false true float integer number none string mapping iterable sequence odd even callable""".split()
METHODS = {  # of text, with what they take
    "upper": [""], "lower": [""], "title": [""], "capitalize": [""], "strip": ["", "' a'", "none", "'xyz'"], "lstrip": ["", "' a'"], "rstrip": ["", "'z '"],
    "split": ["", "','", "' '", "',', 1", "none, 1", "maxsplit=1", "'', 2", "sep=','"], "rsplit": ["", "','", "',', 1", "none, 1"], "splitlines": ["", "true", "keepends=true"],
    "startswith": ["'a'", "('a', 'h')", "t"], "endswith": ["'d'", "('d', 'c')"], "replace": ["'a', 'b'", "'a', '', 1", "'', '-'", "'l', 'L', -1"],
    "find": ["'l'", "'l', 3", "'', 99", "'o', -4"], "rfind": ["'l'", "'o', 0, 5"], "index": ["'l'"], "count": ["'a'", "''", "'l', 2"], "join": ["words", "['a', 'b']", "'abc'", "[1]", "d"],
    "isdigit": [""], "format": ["1, 2", "1, a='q'", "s"], "encode": [""], "zfill": ["5"],
}
DICT_METHODS = {"items": [""], "keys": [""], "values": [""], "get": ["'a'", "'zz', 5", "'zz'"], "pop": ["'a'"], "update": ["{}"]}
LIST_METHODS = {"index": ["1", "'b'"], "count": ["1"], "append": ["1"]}
FORMATS = ["'%Y-%m-%d'", "'%d %b %Y'", "'%A, %B %d'", "'%a %H:%M:%S %p'", "'%j %y %%'", "'%-d/%-m'", "'%I'"]


class Programs:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.in_loop = 0

    def chance(self, p):
        return self.r.random() < p

    def number(self):
        return self.r.choice(["0", "1", "2", "3", "7", "10", "-1", "-2", "1.5", "0.1", "2.0", "1e3", "100000000000000000000", "-0.0", "3.14159"])

    def text(self):
        text = self.r.choice(TEXTS)
        return f'"{text}"' if self.chance(0.5) or "'" in text else "'" + text.replace('\\"', '"') + "'"

    def name(self):
        if self.in_loop and self.chance(0.4):
            return self.r.choice(["loop.first", "loop.last", "loop.index0", "loop.revindex", "loop.length", "loop.previtem", "loop.nextitem",
                                  "loop.index", "i", "i", "i", "loop.revindex0"])
        return self.r.choice(NAMES)

    def atom(self, depth):
        kind = self.r.randint(0, 13)
        if kind <= 4:
            return self.name()
        if kind <= 6:
            return self.text()
        if kind <= 8:
            return self.number()
        if kind == 9:
            return self.r.choice(["true", "false", "none", "True", "None"])
        if kind == 10:
            return "[" + ", ".join(self.expr(depth + 1) for _ in range(self.r.randint(0, 3))) + "]"
        if kind == 11:
            return "{" + ", ".join(f"{self.text()}: {self.expr(depth + 1)}" for _ in range(self.r.randint(0, 2))) + "}"
        if kind == 12:
            return "(" + self.expr(depth + 1) + self.r.choice(["", "", ",", ", " + self.expr(depth + 1)]) + ")"
        return self.r.choice(["range(3)", "range(1, 8, 2)", "range(5, 0, -2)", "dict(a=1)", "dict(d, q=2)", f"strftime_now({self.r.choice(FORMATS)})", "namespace(a=1).a", "range(4)|list"])

    def filter(self, depth):
        kind = self.r.randint(0, 9)
        if kind <= 4:
            return self.r.choice(PLAIN_FILTERS)
        e = lambda: self.expr(depth + 2)
        return self.r.choice([
            f"default({e()})", f"default({e()}, true)", f"join({self.text()})", f"join(', ', attribute='role')", "map(attribute='role')|list", "map(attribute='a', default='-')|list",
            "map('upper')|join", f"map({self.text()})|list", "map('default', 'q')|list", "map('int')|list", "select|list", "reject|list", "select('string')|list", "select('gt', 1)|list",
            "reject('in', [1, 'a'])|list", "selectattr('role')|list", "selectattr('role', 'equalto', 'user')|list", "rejectattr('role', 'defined')|list", "rejectattr('a', 'none')|map(attribute='a')|list",
            "selectattr('content', 'string')|first", "sort(reverse=true)", "sort(attribute='role')",
            "sort(case_sensitive=true)",
            "dictsort",
            "int(default=7)", "float(1.5)", "replace('a', 'b')",
            "replace('a', 'b', 1)", "replace(' ', '')", "trim('a ')", "indent(2)", "indent(4, true)", "indent('> ', false, true)",
            "indent(width=3, first=true)", "tojson(indent=2)", "tojson(2)", "tojson(sort_keys=true)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "tojson|safe",
            "groupby('role')", "list|length", "list|last", "items|list", "length|string", "reverse|list", "reverse|join", "unique|list",
            "string|length", "upper|safe",
        ])

    def test(self, depth):
        if self.chance(0.6):
            return self.r.choice(PLAIN_TESTS)
        e = self.expr(depth + 2)
        return self.r.choice([f"eq({e})", f"ne {self.number()}", f"gt({e})", f"le({e})", f"in({e})", f"sameas({self.r.choice(['none', 'true', 'l', '1'])})", "divisibleby(3)", "divisibleby 2",
                              f"equalto {self.text()}", f"lt {self.number()}", f"in {self.name()}"])

    def postfix(self, depth, literal=False):
        """literal: of a number, which jinja2 slices by its own rules before the template runs."""
        kind = self.r.randint(0, 11)
        if kind <= 2:
            methods = self.r.choice([METHODS, METHODS, METHODS, DICT_METHODS, LIST_METHODS])
            name = self.r.choice(list(methods))
            return f".{name}({self.r.choice(methods[name])})"
        if kind == 3:
            return "." + self.r.choice(ATTRIBUTES)
        if kind == 4:
            return f"[{self.expr(depth + 1)}]"
        if kind == 5:
            return self.r.choice(["[0]", "[-1]", "['role']", "['a']", "[1]", "[99]", "[-99]", "[true]", "[none]"])
        if kind == 6 and not literal:
            bounds = [self.r.choice(["", "0", "1", "2", "-1", "-2", "9", "none"]) for _ in range(2)]
            return "[" + ":".join(bounds) + self.r.choice(["", "", ":", ":2", ":-1", ":0"]) + "]"
        return "|" + self.filter(depth)

    def expr(self, depth=0):
        kind = self.r.randint(0, 11) if depth < 3 else 0
        if kind <= 2:
            return self.atom(depth)
        if kind <= 6:
            atom = self.atom(depth)
            return atom + "".join(self.postfix(depth, atom[0] in "0123456789-TFNtfn") for _ in range(self.r.randint(1, 2)))
        if kind == 7:
            return f"{self.expr(depth + 1)} {self.r.choice(BINARY)} {self.expr(depth + 1)}"
        if kind == 8:
            return f"({self.expr(depth + 1)} {self.r.choice(BINARY)} {self.expr(depth + 1)}){self.postfix(depth, True)}"
        if kind == 9:
            return self.r.choice(["not ", "-", "+", "not ("]).replace("not (", "not ") + self.expr(depth + 1)
        if kind == 10:
            return f"{self.expr(depth + 1)} is {self.r.choice(['', 'not '])}{self.test(depth)}"
        return f"{self.expr(depth + 1)} if {self.expr(depth + 1)}" + (f" else {self.expr(depth + 1)}" if self.chance(0.7) else "")

    def space(self):
        return self.r.choice(["", "", "", " ", "\n", "  \n", "\n  ", " x ", "\n\n", "\t", "\r\n", "y"])

    def tag(self, inside):
        return "{%" + self.r.choice(["", "", "-", "+"]) + f" {inside} " + self.r.choice(["", "", "-"]) + "%}"

    def output(self):
        return "{{" + self.r.choice(["", "", "-"]) + f" {self.expr()} " + self.r.choice(["", "", "-"]) + "}}"

    def statement(self, depth):
        t, e = self.tag, self.expr
        body = lambda: self.body(depth + 1)
        kind = self.r.randint(0, 15)
        if kind <= 3 or depth > 2:
            return self.output()
        if kind == 4:
            return t(f"if {e()}") + body() + (t(f"elif {e()}") + body() if self.chance(0.3) else "") + (t("else") + body() if self.chance(0.5) else "") + t("endif")
        if kind <= 7:
            target, over = self.r.choice([("i", e()), ("i", self.r.choice(["l", "messages", "words", "range(3)", "s", "d", "dd.b", "ll"])), ("i", "range(4)"), ("k, i", "d.items()"), ("k, i", "d|dictsort"),
                                          ("i", "l[1:]"), ("(k, i)", "[(1, 2), (3, 4)]"), ("i", "l|reverse")])
            condition = self.r.choice(["", "", f" if {e(2)}", " if i", " if not loop.first"] if self.chance(0.5) else [""])
            self.in_loop += 1
            inside = body() + (t(f"if {e(1)}") + t(self.r.choice(["break", "continue"])) + t("endif") + self.body(depth + 1) if self.chance(0.25) else "")
            self.in_loop -= 1
            return t(f"for {target} in {over}{condition}") + inside + (t("else") + body() if self.chance(0.2) else "") + t("endfor")
        if kind <= 10:
            target = self.r.choice(["v", "v", "s", "n", "ns.x", "ns.y", "v, z", "l", "i"])
            return t(f"set {target} = {e()}")
        if kind == 11:
            return t("set v" + self.r.choice(["", " | upper", " | trim | length", " | replace('a', 'b')"])) + body() + t("endset")
        if kind == 12:
            parameters = self.r.choice(["", "a", "a, b=1", "a, b=a", "a=s, b=2"])
            inside = self.r.choice(["", "{{ a }}", "{{ a }}{{ b }}", "{{ varargs }}", "{{ v }}{% set v = 9 %}"]) + body()
            call = self.r.choice(["{{ f1() }}", "{{ f1(1) }}", "{{ f1(1, 2) }}", "{{ f1(b=3, a=4) }}", "{{ f1(1, 2, 3) }}", "{{ f1(1, c=3) }}", "{% call f1(1) %}c{% endcall %}"])
            return t(f"macro f1({parameters})") + inside + t("endmacro") + call
        if kind == 13:
            return t("filter " + self.r.choice(["upper", "trim", "indent(2)", "replace('a', 'b')", "length"])) + body() + t("endfilter")
        if kind == 14:
            return t(f"with {self.r.choice(['v', 'w', 's'])} = {e()}" + (f", q = {e()}" if self.chance(0.3) else "")) + body() + "{{ q }}" + t("endwith")
        return self.r.choice([t("generation") + body() + t("endgeneration"), "{#- note -#}", "{# {{ x }} #}", t("raw") + "{{ x }} {% y %}" + t("endraw"), t(f"set ns = namespace(x={e()}, y=1)"),
                              "{% if s %}{{ raise_exception(" + self.text() + ") }}{% endif %}", "{{ messages[0].role }}{{ messages[-1]['content'] }}", t("autoescape true") + self.output() + t("endautoescape"),
                              t(f"do l.append({e()})"), t("include 'x'"), t("block q") + body() + t("endblock")] if self.chance(0.6) else [t(f"set ns = namespace(x={e()})") + "{{ ns.x }}"])

    def body(self, depth):
        return "".join(self.space() + self.statement(depth) + self.space() for _ in range(self.r.choice([1, 1, 2])))

    def template(self):
        before = "{% set ns = namespace(x=0, y='q') %}" if self.chance(0.5) else ""
        return before + self.body(0) + self.r.choice(["", "", "\n", "\n\n"])

    def variables(self):
        r = self.r
        texts = ["Hello World", "a b  c", "", " x\ny\n", "<i>ü</i>", "aXbX", "12", "日本"]
        return {
            "s": r.choice(texts), "t": r.choice(["a", "lo", "", "X"]), "n": r.choice([0, 5, -3, 2**40]), "m": r.choice([2, 1, 10]), "f": r.choice([1.5, 0.25, -2.0, 1e16, 1e-5, 123456.789]),
            "b": r.choice([True, False]), "z": None, "l": r.choice([[3, 1, 2], [], ["b", "A", "a"], [1, "a", None, 2.5, True], [0, False]]), "ll": [[1, [2, 3]], [], 4],
            "d": r.choice([{"a": 1, "b": "x"}, {}, {"B": 2, "a": 1, "C": 0}, {"items": 5, "a": None}]), "dd": {"a": {"b": [1, 2]}, "b": [1, {"x": "é"}]},
            "words": r.choice([["x", "Y", "z"], ["one"], []]),
            "messages": [{"role": "user", "content": "Hi", "a": 2}, {"role": "Assistant", "content": None, "a": 1}, {"role": "user", "content": [{"type": "text"}]}][: r.randint(0, 3)],
        }
