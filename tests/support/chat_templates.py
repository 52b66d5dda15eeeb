"""Chat templates in the manner of well-known model families, written for these tests, and templates that cost too much."""

from __future__ import annotations

FAMILIES = {
    "chatml": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role']"
        " + '<|end|>\n\n'+ message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + "
        "content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}"
        "{% endif %}\n"
    ),
    "llama3.1": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- This block extracts the system message. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start|>system<|end|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' + arg_val + '"' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
""",
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
    ),
    "mistral-v3": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
""",
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
        "'Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
        "{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim "
        "+ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
    ),
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
""",
    "qwen2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "qwen3": """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "deepseek-r1": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace("
        "is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message"
        "['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}"
        "{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}"
        "{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none"
        " %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}"
        "{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not "
        "ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}"
    ),
    "phi3": (
        "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + "
        "message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'"
        "}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "granite": """{%- macro documents_of(list) -%}
{%- for one in list or [] %}{{ loop.index }}. {{ one.title | default('untitled') }}
{% endfor -%}
{%- endmacro -%}
{%- for role, group in messages | groupby('role') if false %}{{ role }}{% endfor %}
{%- for message in messages %}
{% generation %}{{ "%s|%s" % (message.role | upper, message.content) }}{% endgeneration %}
{{ ' ' ~ loop.cycle('a', 'b') ~ (message.content.split() | length) ~ ' ' ~ (message.content | replace('a', '4') | length) }}
{%- if loop.index > 40 %}{% break %}{% endif %}
{%- endfor %}
{{ documents_of(documents) }}{{ {'roles': messages | map(attribute='role') | unique | list} | tojson }}
{{- "{0:>8}".format(messages | length) }}{{ [3, 1, 2] | sort | join(', ') }}{{ 'x'.center(7) }}{{ 'ab' * 3 }}
{%- set joined %}{% for m in messages if m.role != 'system' %}{{ m.content | indent(2) }}{% endfor %}{% endset %}
{{- joined | trim | wordwrap(30) }}
{{ "In 2023, 99%% of %d (%s, %-6s, %.2f) of 123456" % (7, 'a', 'b', 1.5) }}{{ "%(k)5s 2024" % {'k': 1} }}{{ "{:>5}|{a:.3}|20245".format(1, a='xyzw') }}
{{ nothing }}{{ nothing | default('d') }}{{ nothing ~ 'x' }}{{ nothing is defined }}{{ nothing == 1 }}{{ none ~ 1.5 ~ true }}
{% for x in nothing %}{{ x }}{% else %}empty{% endfor %}{% if messages | selectattr('role', 'equalto', 'nobody') %}yes{% endif %}
{% for m in messages | rejectattr('role', 'in', ['system']) %}{{ loop.length }}{{ loop.revindex }}{{ loop.last }}{{ loop.previtem.role }}{% endfor %}
{% for m in messages | reverse %}{{ loop.index }}{% if loop.changed(m.role) %}{{ m.role[:2] }}{% endif %}{% endfor %}
{% for row in messages | map(attribute='role') | batch(2, '-') %}{{ row | join('/') }};{% endfor %}{{ messages[0].items() | list | length }}
{% for x in [[1, [2]], [3]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}{{ (1, 'a', none, {'k': [1.0]}) }}{{ 7 // 2 ** 2 % 3 - -1 }}
{% set ns = namespace(n=0) %}{% for c in 'abc' if c != 'b' %}{% set ns.n = ns.n + loop.index %}{% continue %}{% endfor %}{{ ns.n }}{{ ns.missing }}
{{ messages | length > 1 and 'x' in 'xyz' and not (1 > 2 or 3 <= 2) }}{{ 'a,b'.split(',')[-1] }}{{ {}.get('x', 'y') }}{{ 'ü' | urlencode }}{{ "<b>" | e }}{{ dict(a=1) | tojson(indent=2) }}
""",
}

BOMBS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "loops that show nothing": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "huge range": "{% for i in range(10**9) %}x{% endfor %}",
    "lists of ranges": "{% for i in range(9999) %}{% set x = range(99999) | list %}{% endfor %}",
    "repeated text": "{{ 'a' * 10**9 }}",
    "repeated text, turned round": "{{ 10**9 * 'a' }}",
    "repeated list": "{% set x = ['a'] * 10**9 %}",
    "power": "{{ 2**99999999 }}",
    "squares": "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "replace": "{{ 'a'" + "| replace('a', 'aa')" * 60 + " }}",
    "replace, same length": "{{ ('a' * 1000000)" + "| replace('a', 'b') | replace('b', 'a')" * 60 + " }}",
    "replace of nothing": "{{ ('a' * 900000) | replace('', 'x' * 900000) }}",
    "replace method": "{{ ('a' * 900000).replace('a', 'x' * 900000) }}",
    "join": "{{ range(99999) | join('x' * 100000) }}",
    "join method": "{{ ('x' * 100000).join(('y' * 100000) | list) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format operator": "{{ '%1000000000d' % 1 }}",
    "format operator, star": "{{ '%*d' % (1000000000, 1) }}",
    "format operator, names": "{{ ('%(a)s' * 100000) % {'a': 'x' * 100000} }}",
    "format operator, name and width": "{{ '%(a)1000000000d' % {'a': 1} }}",
    "format operator, name with parentheses": "{{ '%((a))1000000000d' % {'(a)': 1} }}",
    "format operator, precision": "{{ '%5.1000000000f' % 1.5 }}",
    "format operator, flags": "{{ '%s %-01000000000d' % (1, 2) }}",
    "format method": "{{ '{:1000000000d}'.format(1) }}",
    "format method, nested": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "format_map": "{{ ('{a}' * 100000).format_map({'a': 'x' * 100000}) }}",
    "center": "{{ 'a' | center(10**9) }}",
    "center method": "{{ 'a'.center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(tabsize=10**8) }}",
    "indent": "{{ ('a\n' * 100000) | indent('x' * 100000) }}",
    "wordwrap": "{{ ('a' * 100000) | wordwrap(1, true, 'x' * 100000) }}",
    "tojson": "{{ [1, [2, [3]]] | tojson(indent=10**9) }}",
    "batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "slice": "{{ [1] | slice(10**9) | list }}",
    "round": "{{ 5 | round(-10**9) }}",
    "macro that calls itself": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "macro, twice each": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "calls": "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call f() %}" * 40
    + "x"
    + "{% endcall %}" * 40,
    "recursive loop": "{% for x in [[1]] * 900 recursive %}{% if x is iterable %}{{ loop([x, x]) }}{% endif %}{% endfor %}",
    "huge list literal": "{% set x = [" + "1," * 30000 + "] %}",
    "growing text": "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "growing sum": "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "growing list": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "growing by halves of a source": "{% set x = 'aaaa' %}" + "{% set x = x ~ x %}" * 60,
    "printed nest": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "printed namespace": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns }}",
    "compared nests": (
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{% if ns.x == ns.y %}a{% endif %}"
    ),
    "slices": "{% set x = 'a' * 1000000 %}{% set y = [" + "x[:-1]," * 2000 + "] %}",
    "chain of ~": "{% set x = 'a' * 1000000 %}{% set y = " + "~".join(["x"] * 2000) + " %}",
    "own text in a loop": "{% for a in range(99999) %}" + "y" * 50000 + "{% endfor %}",
    "own text in a macro": "{% macro f() %}"
    + "y" * 50000
    + "{% endmacro %}{% for a in range(9999) %}{% set x = f() %}{% endfor %}",
    "filter block": "{% filter replace('y', '" + "z" * 9000 + "') %}" + "y" * 50000 + "{% endfilter %}",
    "constants": "{{ [1] * 10**9 }}{{ ('a' * 9999) | center(99999) | replace(' ', 'x' * 9999) }}",
    "constants that are compared": "{% if 'a' * 10**9 == 'b' %}{% endif %}",
    "sum of lists": "{% set l = [[1] * 1000] * 99999 %}{{ l | sum(start=[]) | length }}",
    "sorts": "{% for i in range(9999) %}{% set x = range(99999) | sort %}{% endfor %}",
    "bytes": "{{ (5).to_bytes(1000000000, 'big') }}",
    "lipsum": "{{ lipsum(n=1000000) }}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nots": "{{ " + "not " * 15000 + "1 }}",
    "attributes": "{{ a" + ".b" * 30000 + " }}",
    "sums": "{{ 1" + "+1" * 20000 + " }}",
    "blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "source": "x" * 1_000_000,
    "wordwrap of one word": "{{ ('a' * 1000000) | wordwrap(1) }}",
    "striptags": "{{ ('<!-- -->' * 60000) | striptags }}",
    "attribute of an attribute": "{{ range(99999) | map(attribute='a.' * 300000, default=1) | list }}",
    "sort by many attributes": "{{ range(9999) | list | sort(attribute='a,' * 300000) }}",
    "arguments": "{% macro f() %}{% endmacro %}{% for i in range(9999) %}{{ f(*range(99999)) }}{% endfor %}",
    "arguments of filters": "{% for i in range(9999) %}{{ [1] | map('x', *range(99999)) }}{% endfor %}",
    **{
        f"nest that is {name}": "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
        + use
        for name, use in {
            "printed by a test": "{% if ns.x is upper %}{% endif %}",
            "printed by an exception": "{{ raise_exception(ns.x) }}",
            "printed as a missing name": "{% set y = {}[ns.x] %}{{ y.foo }}",
            "printed by a format": "{{ '{0!r}'.format(ns.x) }}",
            "joined": "{{ '' ~ ns.x }}",
            "sought": "{{ [1].index(ns.x) }}",
        }.items()
    },
    **{
        f"deep nest that is {name}": "{% set ns = namespace(x=(1,)) %}{% for i in range(45000) %}{% set ns.x = (ns.x,) %}{% endfor %}"
        + use
        for name, use in {
            "a key": "{% set y = {ns.x: 1} %}",
            "looked up": "{% set y = {}[ns.x] %}",
            "sought": "{% if ns.x in {1: 2} %}{% endif %}",
            "got": "{{ {1: 2}.get(ns.x) }}",
            "unique": "{{ [ns.x] | unique | list | length }}",
        }.items()
    },
}
