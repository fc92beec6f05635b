"""The HTTP embedder against a real server on loopback: what it asks, what it bears, and that its key stays with it."""

import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from kiromi.embed import running
from kiromi.embed.hashing import HashingEmbedder
from kiromi.embed.openai import OpenAIEmbedder
from kiromi.errors import EmbedderError, InvalidInput
from tests.embed.contract import EmbedderContract, embed
from tests.embed.server import DIMENSION, Drop, Raw, Reply, Server, Stall, serving, vectors_reply

KEY = 'sk-kiromi/Zk3+91=x"q'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
TEXTS = ["a seat", "a hotel", "a flight"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as running_server:
        yield running_server


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def embedder(server: Server, pauses: list[float]) -> OpenAIEmbedder:
    return make(server, pauses)


def make(server: Server, pauses: list[float], **options: Any) -> OpenAIEmbedder:
    usual: dict[str, Any] = {"dimension": DIMENSION, "base_url": server.url, "sleep": pauses.append}
    return OpenAIEmbedder("test-model", **usual | options)


def expected(texts: list[str]) -> Any:
    return HashingEmbedder(DIMENSION).embed(texts, "document")


def everything_of(error: BaseException) -> str:
    """What a log would show of an error, its causes included, and all that hangs on it."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(getattr(error, "details", ""))


class TestContract(EmbedderContract):
    """The fixture ``embedder`` is the module's."""


def test_what_it_asks(server: Server, embedder: OpenAIEmbedder) -> None:
    assert np.array_equal(embed(embedder, *TEXTS), expected(TEXTS))
    (asked,) = server.asked
    assert asked.path == "/v1/embeddings"
    assert asked.question == {"model": "test-model", "input": TEXTS}
    assert (asked.headers["Authorization"], asked.headers["Content-Type"]) == (f"Bearer {KEY}", "application/json")


def test_shorter_vectors_are_asked_for(server: Server, pauses: list[float]) -> None:
    assert embed(make(server, pauses, dimension=8, shorten=True), "a").shape == (1, 8)
    assert server.asked[0].question["dimensions"] == 8


def test_batches_in_order(server: Server, pauses: list[float]) -> None:
    texts = [f"text {i}" for i in range(7)]
    assert np.array_equal(embed(make(server, pauses, batch_size=3), *texts), expected(texts))
    assert [len(asked.question["input"]) for asked in server.asked] == [3, 3, 1]


def test_empty_texts_are_sent_as_blanks(server: Server, embedder: OpenAIEmbedder) -> None:
    embed(embedder, "", "a")
    assert server.asked[0].question["input"] == [" ", "a"]


def test_vectors_go_by_their_index(server: Server, embedder: OpenAIEmbedder) -> None:
    server.script = [lambda asked: vectors_reply(asked, lambda items: items[::-1])]
    assert np.array_equal(embed(embedder, *TEXTS), expected(TEXTS))


def test_without_an_index_they_are_in_order(server: Server, embedder: OpenAIEmbedder) -> None:
    server.script = [lambda asked: vectors_reply(asked, lambda items: [{"embedding": i["embedding"]} for i in items])]
    assert np.array_equal(embed(embedder, *TEXTS), expected(TEXTS))


def test_the_key_is_read_at_each_call(
    server: Server, embedder: OpenAIEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("first", " second \n"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        embed(embedder, "a")
    monkeypatch.delenv("OPENAI_API_KEY")
    embed(embedder, "a")
    sent = [asked.headers.get("Authorization") for asked in server.asked]
    assert sent == ["Bearer first", "Bearer second", None]


def test_another_variable_holds_the_key(server: Server, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "other")
    embed(make(server, pauses, api_key_env="OTHER_KEY"), "a")
    assert server.asked[0].headers["Authorization"] == "Bearer other"


# --- what may pass ---


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_tried_again(
    server: Server, embedder: OpenAIEmbedder, pauses: list[float], status: int
) -> None:
    server.script = [Reply(status), Reply(status, b"busy")]
    assert np.array_equal(embed(embedder, *TEXTS), expected(TEXTS))
    assert len(server.asked) == 3
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


def test_connections_that_break_are_made_again(server: Server, embedder: OpenAIEmbedder, pauses: list[float]) -> None:
    cut = HEAD + b'{"data": []}'
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"
    server.script = [Drop(), Raw(b"no HTTP at all\r\n"), Raw(cut), Raw(chunk)]
    assert np.array_equal(embed(embedder, *TEXTS), expected(TEXTS))
    assert (len(server.asked), len(pauses)) == (5, 4)


def test_nobody_listens(server: Server, pauses: list[float]) -> None:
    with serving() as gone:
        url = gone.url
    with pytest.raises(EmbedderError, match=r"test-model@127.*ConnectionRefusedError: .* \(3 tries\)"):
        embed(make(server, pauses, base_url=url, retries=2), "a")
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "stall",
    [Stall(b"", b"x", 60), Stall(HEAD, b"x", 60), Stall(HEAD, b"x" * 60, 0.05)],
    ids=["no head", "no body", "drops of a body"],
)
def test_slow_answers_are_not_waited_for(server: Server, pauses: list[float], stall: Stall) -> None:
    server.script = [stall]
    with pytest.raises(EmbedderError, match="TimeoutError"):
        embed(make(server, pauses, timeout_s=0.2, retries=0), "a")


def test_a_slow_answer_is_asked_for_again(server: Server, pauses: list[float]) -> None:
    server.script = [Stall(b"", b"x", 60)]
    assert np.array_equal(embed(make(server, pauses, timeout_s=0.5), *TEXTS), expected(TEXTS))
    assert len(pauses) == 1


def test_tries_end(server: Server, pauses: list[float]) -> None:
    server.script = [Reply(503, b'{"error": {"message": "model is\\n loading"}}')] * 9
    with pytest.raises(EmbedderError) as caught:
        embed(make(server, pauses, retries=7), "a")
    where = server.url.removeprefix("http://")
    assert str(caught.value) == f"the embedder test-model@{where} failed: HTTP 503: model is loading (8 tries)"
    assert len(server.asked) == 8
    longest = [0.5, 1, 2, 4, 8, 16, 20]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


@pytest.mark.parametrize(
    ("asked_for", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("86400", 60, 60),
        (" 3 ", 3, 3),
        ("-5", 0.25, 0.5),
        ("soon", 0.25, 0.5),
        ("1.5", 0.25, 0.5),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to(
    server: Server, embedder: OpenAIEmbedder, pauses: list[float], asked_for: str, least: float, most: float
) -> None:
    server.script = [Reply(429, headers={"Retry-After": asked_for})]
    embed(embedder, "a")
    assert least <= pauses[0] <= most


@pytest.mark.parametrize(("ahead_s", "least", "most"), [(30, 20, 30), (3600, 60, 60), (-3600, 0, 0)])
@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_it_waits_until_the_date_it_is_told(
    server: Server, embedder: OpenAIEmbedder, pauses: list[float], ahead_s: int, least: float, most: float, zone: str
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True).replace("GMT", zone)
    server.script = [Reply(503, headers={"Retry-After": date})]
    embed(embedder, "a")
    assert least <= pauses[0] <= most


# --- what does not pass ---


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(400, b'{"error": {"message": "too many tokens"}}'), "HTTP 400: too many tokens$"),
        (Reply(404, b'{"detail": "no such model"}'), 'HTTP 404: {"detail": "no such model"}$'),
        (Reply(404, b"<html>\n lost"), "HTTP 404: <html> lost$"),
        (Reply(413), "HTTP 413$"),
        (Reply(422, b"\xff\xfe"), "HTTP 422: "),
        (Reply(400, b"x" * 9_000), "HTTP 400: x{300}…$"),
        (Reply(204), "HTTP 204$"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(
    server: Server, embedder: OpenAIEmbedder, pauses: list[float], reply: Reply, message: str
) -> None:
    server.script = [reply]
    with pytest.raises(EmbedderError, match=message) as caught:
        embed(embedder, "a")
    assert (pauses, len(server.asked)) == ([], 1)
    assert caught.value.details == {"embedder": embedder.id}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"{}", b'{"data": null}', b'{"data": {}}', b"\xff", b"[" * 99_999]
)
def test_garbage_is_an_error(server: Server, embedder: OpenAIEmbedder, body: bytes) -> None:
    server.script = [Reply(200, body)]
    with pytest.raises(EmbedderError, match="its answer cannot be used"):
        embed(embedder, "a")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "0 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0] * DIMENSION}] * 3, "3 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0] * DIMENSION}] * 2, "indices are not one for each text"),
        ([{"index": i, "embedding": [1.0] * DIMENSION} for i in (1, 2)], "indices are not one for each text"),
        ([{"index": i, "embedding": [1.0] * DIMENSION} for i in (0, "1")], "not supported between"),
        (
            [{"index": i, "embedding": [1.0] * 5} for i in range(2)],
            rf"shape \(5,\) of float64, not {DIMENSION} numbers",
        ),
        ([{"index": i, "embedding": ["1"] * DIMENSION} for i in range(2)], "of <U1"),
        ([{"index": i, "embedding": [[1.0], 2]} for i in range(2)], "cannot be used"),
        ([{"index": i, "embedding": "AACAPw=="} for i in range(2)], r"shape \(\)"),
        ([{"index": i} for i in range(2)], "'embedding'"),
        ([1, 2], "'int' object"),
    ],
)
def test_wrong_vectors_are_refused(server: Server, embedder: OpenAIEmbedder, items: Any, message: str) -> None:
    server.script = [Reply(200, json.dumps({"data": items}).encode())]
    with pytest.raises(EmbedderError, match=message):
        embed(embedder, "a", "b")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e39"])
def test_numbers_that_are_not_finite_are_refused(server: Server, embedder: OpenAIEmbedder, number: str) -> None:
    vector = ",".join([number] * DIMENSION)
    server.script = [Reply(200, f'{{"data": [{{"index": 0, "embedding": [{vector}]}}]}}'.encode())]
    with pytest.raises(EmbedderError, match="not finite"):
        running.embed(embedder, ["a"], "document")


# --- the key stays here ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: Server, embedder: OpenAIEmbedder, status: int) -> None:
    with serving() as other:
        where = f"{other.url.replace('//', '//user:secret@')}/embeddings"
        server.script = [Reply(status, headers={"Location": where})]
        with pytest.raises(
            EmbedderError, match=rf"it redirects \(HTTP {status}\), which is not followed: give"
        ) as caught:
            embed(embedder, "a")
    assert other.asked == []
    assert "secret" not in everything_of(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_its_variable(
    server: Server, embedder: OpenAIEmbedder, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    reply = Reply(status, f'{{"error": {{"message": "Incorrect API key provided: {KEY[:6]}***{KEY[-3:]}"}}}}'.encode())
    server.script = [reply, reply]
    with pytest.raises(EmbedderError, match=rf"it refuses the key in OPENAI_API_KEY \(HTTP {status}\)$") as caught:
        embed(embedder, "a")
    assert KEY[:6] not in everything_of(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EmbedderError, match="it wants a key: set OPENAI_API_KEY"):
        embed(embedder, "a")


def test_the_key_is_in_no_message(server: Server, pauses: list[float]) -> None:
    embedder = make(server, pauses, retries=0)
    quoted, escaped = "sk-kiromi%2FZk3%2B91%3Dx%22q", json.dumps(KEY)[1:-1]
    echo = f"key {KEY} {quoted} {escaped}".encode()
    index = json.dumps({"data": [{"index": 0, "embedding": [1.0] * 3}], "key": KEY}).encode()
    server.script = [
        Reply(400, json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()),
        Reply(500, b"x" * 290 + echo),
        Reply(429, echo),
        Reply(302, headers={"Location": f"http://{KEY}@{quoted}/?key={KEY}"}),
        Reply(200, echo),
        Reply(200, index),
        Raw(b"HTTP/1.1 200 " + echo + b"\r\nContent-Length: 9\r\n\r\n"),
        Raw(echo + b"\r\n\r\n"),
        Raw(b"HTTP/1.1 400 " + echo + b"\r\n\r\n" + echo),
    ]
    for _ in list(server.script):
        with pytest.raises(EmbedderError) as caught:
            embed(embedder, "a")
        shown = everything_of(caught.value)
        for form in (KEY, quoted, escaped, KEY[:9]):
            assert form not in shown.replace("test_openai.py", "")
    assert server.script == []


def test_the_key_is_not_in_what_the_embedder_says_of_itself(embedder: OpenAIEmbedder) -> None:
    embed(embedder, "a")
    for text in (repr(embedder), str(embedder), embedder.spec, embedder.id, repr(embedder.sleep)):
        assert KEY not in text


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk-ключ", "sk-\x07"])
def test_a_key_that_no_header_can_carry(
    server: Server, embedder: OpenAIEmbedder, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(EmbedderError, match="the value of OPENAI_API_KEY is no key") as caught:
        embed(embedder, "a")
    assert key.split("\n")[0] not in everything_of(caught.value)
    assert server.asked == []


# --- arguments ---


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.openai.com/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "https://host:99999/v1",
        "https://host:0/v1",
        "https://ho st/v1",
        "https://höst/v1",
        "https://host/v1\n",
        "https://[host/v1",
        None,
        3,
        "https://user:SECRET@host/v1",
        "https://SECRET@host/v1",
        "https://host/v1?key=SECRET",
        "https://host/v1#SECRET",
    ],
)
def test_impossible_addresses_are_refused(base_url: Any) -> None:
    with pytest.raises(InvalidInput, match=r"base_url.*accepted: an address such as") as caught:
        OpenAIEmbedder("m", dimension=3, base_url=base_url)
    assert "SECRET" not in everything_of(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "model=''"),
        ({"model": "a\nb"}, "model="),
        ({"model": "a#b"}, "model='a#b'; accepted: a name without '#'"),
        ({"model": "a@https://b"}, "model="),
        ({"dimension": 0}, "dimension=0"),
        ({"dimension": 16_385}, "dimension=16385"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"timeout_s": float("nan")}, "timeout_s=nan"),
        ({"timeout_s": float("inf")}, "timeout_s=inf"),
        ({"retries": -1}, "retries=-1; accepted: a whole number from 0 up"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"window": 0}, "window=0"),
        ({"api_key_env": ""}, "api_key_env"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"model": "m", "dimension": 3}
    with pytest.raises(InvalidInput, match=message):
        OpenAIEmbedder(**usual | options)


def test_a_key_in_the_place_of_its_variable_is_not_quoted() -> None:
    with pytest.raises(InvalidInput, match="not the name of an environment variable") as caught:
        OpenAIEmbedder("m", dimension=3, api_key_env=KEY)
    assert KEY not in str(caught.value)


def test_a_slash_at_the_end_does_not_matter() -> None:
    with_slash = OpenAIEmbedder("m", dimension=3, base_url="https://host/v1/")
    without = OpenAIEmbedder("m", dimension=3, base_url="https://host/v1")
    assert with_slash == without
    assert without.id == "m@host/v1"
