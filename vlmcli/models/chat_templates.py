"""Chat templates by name, for models whose files carry none, with the strings that end an answer.

Data only: the engine renders them. Each is what its models were trained with, not llama.cpp's template of the same name
(docs/models.md says where they differ). "<image>" stands for a picture, as in LLaVA.
"""

from __future__ import annotations

_SAID = (
    "{% macro said(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{{ '<image>\n' if part.type == 'image' else part.text }}{% endfor %}{% endif %}{% endmacro %}"
)
"""LLaVA puts a picture on a line of its own. Source: LLaVA, llava/train/train.py, preprocess_multimodal."""

CHAT_TEMPLATES: dict[str, tuple[str, tuple[str, ...]]] = {
    # LLaVA 1.5 and its kin were trained on Vicuna's turns, which end at the next role's name, always after this system
    # prompt. Source: LLaVA, llava/conversation.py, "vicuna_v1".
    "vicuna": (
        _SAID + "{% if messages[0].role != 'system' %}A chat between a curious user and an artificial intelligence "
        "assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. {% endif %}"
        "{% for m in messages %}{% if m.role == 'system' %}{{ said(m.content) }} "
        "{% elif m.role == 'user' %}USER: {{ said(m.content) }} "
        "{% else %}ASSISTANT: {{ said(m.content) }}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        ("USER:", "ASSISTANT:"),
    ),
    # LLaVA 1.6 on Mistral, a system prompt in the first turn. Source: LLaVA, llava/conversation.py, "mistral_instruct".
    "mistral": (
        _SAID + "{% set ns = namespace(system='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set ns.system = '<<SYS>>\n' + said(m.content) + '\n<</SYS>>\n\n' %}"
        "{% elif m.role == 'user' %}[INST] {{ ns.system }}{{ said(m.content) }} [/INST]{% set ns.system = '' %}"
        "{% else %} {{ said(m.content) }} </s>{% endif %}{% endfor %}",
        ("[INST]",),
    ),
    # LLaVA 1.6 34B: ChatML without newlines between turns. Source: LLaVA, llava/conversation.py, "chatml_direct".
    "llava-34b": (
        _SAID + "{% if messages[0].role != 'system' %}<|im_start|>system\nAnswer the questions.<|im_end|>{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ said(m.content) }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        (),
    ),
    # Qwen and many others. Source: OpenAI's ChatML.
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        (),
    ),
    # No turns at all. Source: llama.cpp, src/llama-chat.cpp, LLM_CHAT_TEMPLATE_DEEPSEEK_OCR.
    "deepseek-ocr": ("{% for m in messages %}{{ m.content }}{% endfor %}", ()),
}
