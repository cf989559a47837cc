"""Chat templates by name, for models whose files carry none, with the strings that end an answer.

Data only: the engine renders them.
"""

from __future__ import annotations

CHAT_TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    # LLaVA 1.5 and its kin were trained on Vicuna's turns, which end at the next role's name. Source: LMSYS FastChat,
    # conversation.py, "vicuna_v1.1".
    "vicuna": (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} "
        "{% elif m.role == 'user' %}USER: {{ m.content }} "
        "{% else %}ASSISTANT: {{ m.content }}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        ("USER:", "ASSISTANT:"),
    ),
    # LLaVA 1.6 on Mistral, a system prompt in the first turn. Source: LLaVA, conversation.py, "mistral_instruct".
    "mistral": (
        "{% set ns = namespace(system='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set ns.system = m.content + '\n\n' %}"
        "{% elif m.role == 'user' %}[INST] {{ ns.system }}{{ m.content }} [/INST]{% set ns.system = '' %}"
        "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
        ("[INST]",),
    ),
    # LLaVA 1.6 34B, and many others. Source: OpenAI's ChatML.
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        (),
    ),
    # No turns at all. Source: llama.cpp, src/llama-chat.cpp, LLM_CHAT_TEMPLATE_DEEPSEEK_OCR.
    "deepseek-ocr": ("{% for m in messages %}{{ m.content }}{% endfor %}", ()),
}
