"""A request's sampling becomes a chain of samplers in C, once, so that the loop has no options in it.

It knows the vocabulary's size through the model, and nothing of prompts or answers.
"""

from __future__ import annotations

from vlmcli.engine.native import Model, Sampler
from vlmcli.values import Request

PENALTY_WINDOW = 64  # tokens of the answer that penalties look back on


def make(model: Model, request: Request) -> Sampler:
    """The chain for one answer; the caller closes it.

    The order is llama.cpp's own (common/sampling.cpp): tokens that the model rules out, penalties, top-k, top-p, min-p,
    temperature, draw. top-k comes before top-p, which would otherwise sort the whole vocabulary.
    """
    chain = Sampler(model)
    try:
        _fill(chain, model, request)
    except BaseException:
        chain.close()
        raise
    return chain


def _fill(chain: Sampler, model: Model, request: Request) -> None:
    sampling = request.sampling
    if model.suppressed:
        chain.add_suppressed()
    penalties = sampling.repeat_penalty, request.frequency_penalty, request.presence_penalty
    if penalties != (1.0, 0.0, 0.0):
        chain.add_penalties(PENALTY_WINDOW, *penalties)
    if sampling.temperature <= 0:
        chain.add_greedy()
        return
    if sampling.top_k > 0:
        chain.add_top_k(sampling.top_k)
    if sampling.top_p < 1:
        chain.add_top_p(sampling.top_p)
    if sampling.min_p > 0:
        chain.add_min_p(sampling.min_p)
    chain.add_temperature(sampling.temperature)
    chain.add_dist(sampling.seed)
