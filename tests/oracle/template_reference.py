"""Chat templates rendered by Python's jinja2, set up as transformers' apply_chat_template sets it up."""

import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = "2024-07-26T09:05:03"


class Raised(jinja2.exceptions.TemplateError):
    """What raise_exception in a template raises; its message is the template's own."""


class Generation(jinja2.ext.Extension):
    """{% generation %} marks an assistant's words; the text between is rendered as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_rendered"), [], [], body).set_lineno(line)

    def _rendered(self, caller):
        return caller()


def raise_exception(message):
    raise Raised(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime.fromisoformat(NOW).strftime(form)


def environment(optimized):
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, optimized=optimized, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads  # not of transformers: of programs that ship templates of their own
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


class Reference:
    def __init__(self, source, optimized=True):
        """optimized: transformers' setting. It computes constants with other rules: {{ 1[0:2] }} prints nothing, {{ n[0:2] }} fails."""
        self.template = self.error = None
        try:
            self.template = environment(optimized).from_string(source)
        except Exception as error:  # whatever Python says, elver must refuse the template too
            self.error = f"{type(error).__name__}: {error}"

    def render(self, variables):
        """{"text"}, {"raised"} with the template's own message, or {"error"}."""
        if self.template is None:
            return {"error": self.error}
        given = {"tools": None, "documents": None, "add_generation_prompt": False} | variables
        given.pop("now", None)
        try:
            return {"text": self.template.render(**given)}
        except Raised as error:
            return {"raised": str(error)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
