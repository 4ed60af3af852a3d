#!/usr/bin/env python3
"""Writes templates.json beside this file: small chat templates and what Python's jinja2, in transformers' settings, makes of them.

    python3 tests/golden/chat/make.py        # needs jinja2 3.1.6

The templates of this file, written for elver, over conversations from tests/oracle/template_conversations.py; what must fail; the table in
expressions.txt, eight a template; and random templates from tests/oracle/template_programs.py that give a text.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "oracle"))

from template_conversations import Conversations  # noqa: E402
from template_programs import Programs  # noqa: E402
from template_reference import NOW, Reference  # noqa: E402

N_RANDOM = 200
UNKNOWN = re.compile("block|include|autoescape|do l|call|encode|zfill|varargs|wordcount|groupby|['\"st] %")  # refused by elver: tests/chat/errors_test.cpp

TEMPLATES = {
    "turns": """{% for message in messages %}
<|{{ message['role'] }}|>
{{ message['content'] | trim if message.content is string else message.content }}
{% endfor %}
{% if add_generation_prompt %}
<|assistant|>
{% endif %}""",
    "turns on one line": "{{ bos_token }}{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ (eos_token if loop.last else ' ') }}{% endfor %}"
                         "{{ 'assistant:' if add_generation_prompt }}",
    "strict roles": """{%- set ns = namespace(system='', turn=0) -%}
{%- for m in messages -%}
    {%- if m.role == 'system' and loop.first -%}
        {%- set ns.system = m.content -%}
    {%- elif m.role in ['user', 'assistant'] -%}
        {%- if (m.role == 'user') != (ns.turn % 2 == 0) -%}
            {{- raise_exception('Roles must alternate, found ' + m.role + ' at ' ~ loop.index0) -}}
        {%- endif -%}
        {%- set ns.turn = ns.turn + 1 -%}
        {{- '<' + m.role[0] + '>' -}}
        {%- if ns.system and ns.turn == 1 -%}{{- ns.system + '\\n\\n' -}}{%- endif -%}
        {%- if m.content is mapping or m.content is not iterable -%}
            {{- 'nothing' -}}
        {%- elif m.content is string -%}
            {{- m.content.strip() -}}
        {%- else -%}
            {%- for part in m.content if part is mapping -%}
                {{- part.text if part.type == 'text' else '[' ~ part['type'] ~ ']' -}}
                {{- '' if loop.last else ' + ' -}}
            {%- else -%}
                {{- 'no parts' -}}
            {%- endfor -%}
        {%- endif -%}
    {%- else -%}
        {{- '(' ~ m.role | upper ~ ')' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<a>' }}{% endif -%}""",
    "tools": """{%- macro kind(schema, depth=0) -%}
  {%- if schema.type is defined and schema.type == 'object' and schema.properties -%}
    { {%- for name, value in schema.properties | items -%}
      {{ name }}{{ '' if name in schema.get('required', []) else '?' }}: {{ kind(value, depth + 1) }}{{ ', ' if not loop.last }}
    {%- endfor -%} }
  {%- elif schema.enum is defined -%}
    {{ schema.enum | map('tojson') | join(' | ') }}
  {%- elif schema.type is sequence and schema.type is not string -%}
    {{ schema.type | join('|') }}
  {%- else -%}
    {{ schema.type | default('any') }}{{ '[' ~ depth ~ ']' }}
  {%- endif -%}
{%- endmacro -%}
{%- if tools %}
# Tools
{% for tool in tools %}
  {%- set f = tool.function if tool.function is defined else tool %}
  {%- if f.description %}

// {{ f.description | replace('\\n', ' ') }}
  {%- endif %}

type {{ f.name }} = {{ kind(f.parameters or {}) }};
{{ tool | tojson(indent=2) }}
{%- endfor %}
{% endif %}
{%- for m in messages %}
{%- if m.tool_calls %}
{%- for call in m.tool_calls %}
{%- set f = call.function or call %}
{{ loop.index }}/{{ loop.length }} {{ f.name }}({% if f.arguments is mapping %}{% for k, v in f.arguments | dictsort %}{{ k }}={{ v | tojson if v is not string else v }}{{ ', ' if not loop.last }}{% endfor %}{% else %}{{ f.arguments }}{% endif %}) #{{ call.id | default('none', true) }}
{%- endfor %}
{%- elif m.role == 'tool' %}
-> {{ m.content | tojson }}{% if loop.nextitem is defined and loop.nextitem.role != 'tool' %} end of results{% endif %}
{%- else %}
{{ m.role }}: {{ m.content }}
{%- endif %}
{%- endfor %}""",
    "reasoning": """{%- set ns = namespace(last=-1) %}
{%- for m in messages[::-1] %}
    {%- set index = messages | length - 1 - loop.index0 %}
    {%- if ns.last < 0 and m.role == 'user' and m.content is string and not m.content.startswith('<tool') %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- set text = m.content if m.content is string else '' %}
    {%- set thought = '' %}
    {%- if m.reasoning_content is string %}
        {%- set thought = m.reasoning_content %}
    {%- elif '</think>' in text %}
        {%- set thought = text.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '\\n[' + m.role + ']' }}
    {%- if thought and (loop.last or loop.index0 > ns.last) %}
        {{- '<think>' + thought.strip('\\n') + '</think>' }}
    {%- endif %}
    {{- text }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '[assistant]' ~ ('' if enable_thinking is not defined or enable_thinking else '<think></think>') }}{% endif %}""",
    "blocks": """{# every statement there is -#}
{% set title %}  Today is {{ strftime_now('%d %b %Y') }} {% endset %}
{% set loud | upper | trim %}{{ title }}{% endset %}
{{ title | trim }} {{ loud }}
{% filter indent(4) | replace('a', 'A') %}
alpha
beta {{ 1 + 1 }}
{% endfilter %}
{% with a = 1, b = a | default('unset') %}{{ a }}{{ b }}{% endwith %}
{% macro box(text, mark='*') %}{{ mark * 3 }}{{ text }}{% endmacro %}
{{ box('x') }} {{ box('y', '-') }} {{ box(mark='+', text='z') }}{{ box }}
{% for k in [1, 2, 3, 4, 5, 6] %}{% if k == 2 %}{% continue %}{% endif %}{% if k > 4 %}{% break %}{% endif %}{{ k }}{{ loop.index }}{{ loop.revindex }}{{ loop.length }} {% endfor %}
{% generation %}what the model says{% endgeneration %}
{% raw %}{{ not }} {% seen %}{% endraw %}
{%+ if true %} kept space {%- endif +%}

{% for x in [] %}never{% else %}empty{% endfor %}
{% set ns = namespace(a=1) %}{% for i in range(4) %}{% set ns.a = ns.a * 2 %}{% set out = i %}{% endfor %}{{ ns.a }}{{ out is defined }}
{% if undefined_thing %}a{% elif none %}b{% else %}c{% endif %}{{ undefined_thing }}
{% set a, b = (1, 2) %}{{ a }}{{ b }}{% for (x, y) in {'k': 1}.items() %}{{ x }}{{ y }}{% endfor %}
""",
    "lists": """{{ messages | map(attribute='role') | unique | join(',') }} {{ messages | selectattr('tool_calls') | list | length }}
{{ messages | rejectattr('content', 'string') | map(attribute='role') | list }} {{ messages | sort(attribute='role') | map(attribute='role') | join }}
{{ messages | first is defined }}{{ (messages | last).role }}{{ messages[1:][::-1] | map(attribute='role') | list }}""",
}


FAILING = [
    "{{ x.y.z }}", "{{ 1 + 'a' }}", "{{ none.upper() }}", "{{ [1, 2].append(3) }}", "{{ {'a': 1}.pop('a') }}", "{{ 1 / 0 }}", "{{ 'a' < 1 }}", "{{ range(1000000) }}", "{{ x() }}",
    "{{ 'a'.split('') }}", "{{ [1] | tojson(indent=none, bad=1) }}", "{{ raise_exception('Said by the template: é') }}", "{% set a.b = 1 %}", "{% set a, b = [1] %}{{ a }}", "{{ 5 | length }}",
    "{% for i in 5 %}{% endfor %}", "{{ loop.index }}", "{{ ''['a'].b }}", "{{ x | tojson }}", "{{ dict | tojson }}", "{{ 'abc' | map('nope') | list }}", "{{ f(1) }}", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}",
    "{% if %}{% endif %}", "{{ 1 + }}", "{% for i in %}{% endfor %}", "{% endif %}", "{% if 1 %}", "{{ 'open }}", "{{ [1, 2 }}", "{% nothing %}", "{# open", "{{ a b }}", "{% for i in [1] %}", "{{ 1 | }}",
    "{{ 1 is }}", "{% block a %}{% endif %}", "{% macro f(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{% set %}", "{% break %}", "{{ 'a' | nofilter }}", "{{ 'a' is notest }}", "{{ '' | first.x }}", "{{ ''.__class__.x }}",
]


def main():
    cases = []

    def add(name, source, variables):
        reference = Reference(source)
        results = [reference.render(json.loads(json.dumps(v))) for v in variables]
        for result in results:
            if "error" in result:
                result["error"] = ""  # elver has its own words
        cases.append({"name": name, "template": source, "runs": [{"variables": v} | r for v, r in zip(variables, results)]})
        return results

    for name, source in TEMPLATES.items():
        conversations = Conversations(name)
        add(name, source, [conversations.variables() for _ in range(6)])
    for source in FAILING:
        if any("text" in r for r in add("fails", source, [{}])):
            raise SystemExit(f"{source}: expected to fail")
    table = (HERE / "expressions.txt").read_text(encoding="utf-8").splitlines()
    for i in range(0, len(table), 8):  # a line of the template each
        results = add("expressions", "\n".join("{{ " + e + " }}" for e in table[i : i + 8]), [{}])
        if "text" not in results[0]:
            raise SystemExit(f"{table[i : i + 8]}: {results[0]}")
    n, seed = 0, 0
    while n < N_RANDOM:
        seed += 1
        programs = Programs(f"golden {seed}")
        source = programs.template()
        variables = {name: value for name, value in programs.variables().items() if re.search(rf"\b{name}\b", source)}
        result = Reference(source, optimized=False).render(variables)
        if 1 < len(result.get("text", "").strip()) < 200 and len(source) < 300 and " 0x" not in result["text"] and not UNKNOWN.search(source):
            cases.append({"name": f"random {seed}", "template": source, "runs": [{"variables": variables} | result]})
            n += 1
    out = {"made_by": "jinja2 3.1.6, tests/golden/chat/make.py", "now": NOW, "cases": cases}
    (HERE / "templates.json").write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
