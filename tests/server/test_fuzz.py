"""Some hundreds of requests by chance; `python -m tests.server.fuzz` sends as many as wanted."""

from collections import Counter

from tests.server import fuzz
from tests.server.live import QUESTION, SCENE, asked, serving


def test_whatever_is_sent_the_server_lives_and_answers_in_its_shape():
    with serving() as live:
        found, wrong = fuzz.run(live, 400, seed=27, wait=10)
        assert [(what, request[:300], raw[:300]) for what, request, raw in wrong] == []
        assert found["200"] > 20
        assert found["400"] > 100
        assert b"red circle" in live.post(asked(SCENE, QUESTION))[1]
        assert live.metric("vlm_requests_under_way") == 0
        assert not [line for line in live.said if "Traceback" in line]


def test_the_judge_sees_what_is_wrong():
    request = b"POST /v1/chat/completions HTTP/1.1\r\n\r\n"
    right = b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": {"message": "x", "param": null}}'
    assert fuzz.wrong_of(request, right) == ""
    for raw in (b"HTTP/1.1 500 X\r\n\r\n{}", b"HTTP/1.1 400 X\r\n\r\nno", b'HTTP/1.1 404 X\r\n\r\n{"error": "x"}',
                b"garbage", b"HTTP/1.1 200 OK\r\n\r\nTraceback (most"):  # fmt: skip
        assert fuzz.wrong_of(request, raw)
    kinds = Counter(fuzz.Fuzzer(seed).request()[:4] for seed in range(200))
    assert kinds[b"POST"] > 150
