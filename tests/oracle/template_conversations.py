"""Random conversations for chat templates, from a seed: roles in and out of order, content as text, parts, None or nothing, tools,
tool calls with arguments as objects or as JSON texts, tool results, reasoning, documents, and the switches templates read.
"""

import json
import random

TEXTS = [
    "Hello", "What is the weather in Paris?", "", " ", "  spaces around  \n", "two\nlines", "trailing\n\n", "\n\nleading", "日本語の質問", "Ça va? Ñandú",
    "emoji 👩‍💻🏳️‍🌈", "quotes \" and ' and `", "<b>html</b> & entities &amp;", "back\\slash \\n", "{{ not }} {% a %} {# template #}", "tab\there",
    "<think>hidden</think>shown", "<think>\nhidden\n</think>\n\nshown", "</think>only the end", "<think>open only", "[INST] x [/INST]",
    "<|im_start|>user<|im_end|>", "a" * 300, "\u00a0nbsp\u2028ls", "x</think>y</think>z", "\r\nCRLF\r\n", "null", "[1, 2]", '{"a": 1}', "0", "<tool_call>{}</tool_call>",
    "/no_think", "/think please", "ﬁ ǅ İ ß", "<|channel|>final", "\x00\x01 control \x7f", "<<SYS>>", "  ", "The answer is 42.", "ok", "A. B; C: D!",
]
NUMBERS = [0, 1, -1, 42, 3.5, 1.0, -0.0, 1e-7, 1e22, 0.1, 123456789012345, 2**63 - 1, -(2**63), 1e16, 123456.789, 5e-324]
NAMES = ["get_weather", "search", "python", "calculator.add", "send-mail", "brave_search", "wolfram_alpha", "查询", "f"]
KEYS = ["city", "query", "x", "y", "unit", "code", "opts", "ключ", "a b", "type", "items", "name", "get", "date"]
TYPES = ["string", "number", "integer", "boolean", "array", "object", "null"]


class Conversations:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def chance(self, p):
        return self.r.random() < p

    def text(self):
        texts = [self.r.choice(TEXTS) for _ in range(self.r.choice([1, 1, 1, 2, 3]))]
        return self.r.choice(["", " ", "\n"]).join(texts)

    def value(self, depth=0):
        kind = self.r.randint(0, 7 if depth < 3 else 4)
        if kind <= 1:
            return self.text()
        if kind == 2:
            return self.r.choice(NUMBERS)
        if kind == 3:
            return self.chance(0.5)
        if kind == 4:
            return None
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.r.randint(0, 3))]
        return self.object(depth + 1)

    def object(self, depth=0):
        return {self.r.choice(KEYS): self.value(depth) for _ in range(self.r.randint(0, 3))}

    def schema(self, depth=0):
        kind = self.r.choice(TYPES)
        s = {"type": [kind, "null"] if self.chance(0.1) else kind}
        if self.chance(0.7):
            s["description"] = self.text()
        if kind == "object" or depth == 0:
            s["type"] = "object"
            s["properties"] = {self.r.choice(KEYS): self.schema(depth + 1) for _ in range(self.r.randint(0, 3 - min(depth, 2)))}
            if self.chance(0.7):
                s["required"] = self.r.sample(list(s["properties"]), self.r.randint(0, len(s["properties"])))
            if self.chance(0.2):
                s["additionalProperties"] = self.chance(0.5)
        if kind == "array" and depth:
            s["items"] = self.schema(depth + 1) if depth < 3 else {"type": "string"}
        if kind in ("string", "integer") and self.chance(0.3):
            s["enum"] = ["a", "b", 'c"'] if kind == "string" else [1, 2]
        if self.chance(0.15):
            s["default"] = self.value(2)
        if self.chance(0.1):
            s["nullable"] = True
        if depth and self.chance(0.08):
            s = {self.r.choice(["anyOf", "oneOf"]): [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}
        return s

    def tool(self):
        function = {"name": self.r.choice(NAMES), "description": self.text(), "parameters": self.schema()}
        if self.chance(0.1):
            function["parameters"] = {"type": "object", "properties": {}}
        if self.chance(0.1):
            del function["description"]
        if self.chance(0.07):
            del function["parameters"]
        if self.chance(0.1):
            function["strict"] = True
        if self.chance(0.15):
            function["return"] = {"type": "string", "description": self.text()}
        return function if self.chance(0.07) else {"type": "function", "function": function}

    def content(self):
        kind = self.r.randint(0, 9)
        if kind <= 6:
            return self.text()
        if kind == 7:
            return [{"type": "text", "text": self.text()} for _ in range(self.r.randint(0, 3))]
        if kind == 8:
            parts = [{"type": "text", "text": self.text()}, {"type": "image"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "audio"},
                     {"type": "video"}, {"type": "thinking", "thinking": self.text()}, self.text()]
            return self.r.sample(parts, self.r.randint(1, 4))
        return None

    def call(self, plain):
        arguments = self.object()
        function = {"name": self.r.choice(NAMES), "arguments": json.dumps(arguments, ensure_ascii=False) if plain else arguments}
        call = {"id": "call" + "".join(self.r.choice("abc123") for _ in range(5)), "type": "function", "function": function}
        if self.chance(0.15):
            del call["id"]
        return function if self.chance(0.07) else call

    def assistant(self, tools, plain):
        message = {"role": "assistant", "content": self.content()}
        if tools and self.chance(0.6):
            message["tool_calls"] = [self.call(plain) for _ in range(self.r.choice([0, 1, 1, 1, 2, 3]))]
            if self.chance(0.3):
                del message["content"]
        for key in ("reasoning_content", "thinking", "reasoning", "prefix", "task"):
            if self.chance(0.12):
                message[key] = self.text()
        return message

    def messages(self, tools):
        out = []
        plain = self.chance(0.3)
        if self.chance(0.5):
            out.append({"role": self.r.choice(["system"] * 5 + ["developer"]), "content": self.content()})
        for _ in range(self.r.randint(0, 4)):
            out.append({"role": "user", "content": self.content()})
            if self.chance(0.05):
                out.append({"role": "user", "content": self.text()})
            if self.chance(0.8):
                out.append(self.assistant(tools, plain))
                for call in out[-1].get("tool_calls", []):
                    result = {"role": "tool", "content": self.content() if self.chance(0.8) else json.dumps(self.object())}
                    if self.chance(0.8):
                        result["tool_call_id"] = call.get("id", "none")
                    if self.chance(0.5):
                        result["name"] = call.get("function", call)["name"]
                    out.append(result)
                if out[-1]["role"] == "tool" and self.chance(0.8):
                    out.append(self.assistant(tools, plain))
        if self.chance(0.6):
            out.append({"role": "user", "content": self.text()})
        if self.chance(0.07):
            self.r.shuffle(out)
        if self.chance(0.05):
            out.insert(self.r.randint(0, len(out)), {"role": self.r.choice(["critic", "function", "ipython", "documents", "latest_reminder"]), "content": self.text()})
        if out and self.chance(0.05):
            self.r.choice(out).pop("content", None)
        return out

    def variables(self):
        tools = [self.tool() for _ in range(self.r.randint(1, 3))] if self.chance(0.5) else None
        v = {"messages": self.messages(tools), "add_generation_prompt": self.chance(0.5)}
        if tools or self.chance(0.1):
            v["tools"] = tools
        if tools == [] or self.chance(0.03):
            v["tools"] = []
        if self.chance(0.95):
            v |= {"bos_token": "<s>", "eos_token": "</s>"}
        if self.chance(0.15):
            v["documents"] = [{"title": self.text(), "text": self.text(), "doc_id": i} for i in range(self.r.randint(0, 2))]
        switches = {
            "enable_thinking": [True, False], "thinking": [True, False], "thinking_mode": ["chat", "thinking"], "reasoning_effort": ["low", "high", "max", "none", None],
            "date_string": ["26 Jul 2024"], "tools_in_user_message": [True, False], "keep_thinking": [True], "preserve_thinking": [True, False],
            "builtin_tools": [["code_interpreter", "brave_search"]], "custom_tools": [[]], "model_identity": ["You are X."], "clear_thinking": [True, False],
            "pad_token": ["<pad>"], "add_default_system_prompt": [False], "strict": [True], "citations": ["on"], "xml_tools": [["a"]], "functions": ["f()"], "datetime": ["now"],
            "think_render_option": ["all", "lastthink"], "thinking_budget": [0, -1, 512], "response_format": [{"type": "json_schema"}], "controls": [{"length": "long"}],
        }
        for name, values in switches.items():
            if self.chance(0.12):
                v[name] = self.r.choice(values)
        return v
