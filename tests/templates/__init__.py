"""Published chat templates, rendered by vlm, by Jinja as transformers sets it up, and by llama.cpp.

    python -m tests.templates DIR                    each *.jinja below DIR against the record
    python -m tests.templates DIR --server BIN       ask llama.cpp, too, and write the record

DIR is `models/templates` in the llama.cpp sources of the bindings' source archive, or any folder. Its templates belong
to other people and are not copied: the record, tests/engine/templates.json, has their hashes and those of what was
rendered, so that a change of one character is noticed. Our own templates, those of the named ones and of the small
pairs, are rendered too; `tests/engine/test_templates.py` renders them in every run of the tests.

BIN is `llama-server`, built from the same archive (see `tests.golden`); its /apply-template renders without computing.

    conversations    what is rendered
    rendering        by vlm, and by Jinja
    upstream         by llama.cpp
    record           what is known, and why two renderings differ
"""
