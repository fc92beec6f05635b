"""Embedders as text: there and back."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kiromi.embed import specs
from kiromi.embed.base import METRICS, Embedder, Metric, Model
from kiromi.embed.given import CallerVectors
from kiromi.embed.hashing import HashingEmbedder
from kiromi.embed.minilm import MiniLM
from kiromi.embed.openai import OpenAIEmbedder
from kiromi.errors import InvalidInput

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda name: name.isprintable() and name == name.strip()
)
DIMENSIONS = st.integers(1, 16_384)


def goes_round(embedder: Embedder) -> None:
    model = Model.of(embedder)
    assert model.spec is not None
    again = Model.of(specs.make(model.spec))
    assert again == model
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize(
    "embedder",
    [
        MiniLM(threads=2),
        HashingEmbedder(),
        HashingEmbedder(7),
        CallerVectors(384),
        CallerVectors(3, name="a:384:dot", metric="l2"),
        CallerVectors(3, name="cosine"),
        CallerVectors(3, name="7"),
        OpenAIEmbedder("text-embedding-3-small", dimension=1536),
        OpenAIEmbedder(
            "@cf/baai/bge:1,5", dimension=3, base_url="http://[::1]:8080/a,b@c/v1/", window=512, shorten=True
        ),
        OpenAIEmbedder("m", dimension=3, window=None, api_key_env="OTHER_KEY"),
    ],
    ids=lambda embedder: embedder.spec,
)
def test_there_and_back(embedder: Embedder) -> None:
    goes_round(embedder)


@given(NAMES, DIMENSIONS, st.sampled_from(METRICS))
def test_any_name_of_the_callers(name: str, dimension: int, metric: Metric) -> None:
    goes_round(CallerVectors(dimension, name=name, metric=metric))


@given(
    NAMES,
    DIMENSIONS,
    st.from_regex(r"https?://[a-z0-9.-]{0,8}[a-z](:[1-9][0-9]{0,3})?(/[a-z0-9@,:=~.-]{0,6}){0,2}", fullmatch=True),
    st.none() | st.integers(1, 10**8),
    st.booleans(),
)
def test_any_server(model: str, dimension: int, base_url: str, window: int | None, shorten: bool) -> None:
    assume("#" not in model)
    goes_round(OpenAIEmbedder(model, dimension=dimension, base_url=base_url, window=window, shorten=shorten))


@pytest.mark.parametrize(
    ("spec", "full"),
    [
        ("hash", "hash:256"),
        ("hash:512", "hash:512"),
        ("minilm", "minilm"),
        ("caller:384", "caller:caller:384:cosine"),
        ("caller:384:dot", "caller:caller:384:dot"),
        ("caller:e5:384", "caller:e5:384:cosine"),
        ("openai:m#3", "openai:m@https://api.openai.com/v1#3"),
        ("openai:m@http://h/v1/#3,window=8191,key=OPENAI_API_KEY", "openai:m@http://h/v1#3"),
        ("openai:m#3,key=K,shorten,window=none", "openai:m@https://api.openai.com/v1#3,shorten,window=none,key=K"),
    ],
)
def test_short_forms(spec: str, full: str) -> None:
    made = specs.make(spec)
    assert Model.of(made).spec == full


@pytest.mark.parametrize(
    "spec",
    [
        "",
        ":",
        "MiniLM",
        "minilm:",
        "minilm:2",
        "hash:",
        "hash:many",
        "hash:-1",
        "hash:²",
        "hash:" + "9" * 5_000,
        "caller",
        "caller:",
        "caller:dot",
        "caller:e5",
        "caller:e5:dot",
        "caller:e5:384:manhattan",
        "openai",
        "openai:",
        "openai:text-embedding-3-small",
        "openai:m#",
        "openai:#3",
        "openai:m#many",
        "openai:m#3,",
        "openai:m#3,short",
        "openai:m#3,window=",
        "openai:m#3,window=all",
        "openai:m\n#3",
    ],
)
def test_unknown_ones_are_refused(spec: str) -> None:
    with pytest.raises(InvalidInput, match="is no embedder; accepted: minilm, hash, hash:DIMENSION, caller:"):
        specs.make(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hash:0", "dimension=0"),
        ("caller::3", "name=''"),
        ("openai:m@ftp://host#3", None),
        ("openai:m@https://host:0/v1#3", "base_url"),
        ("openai:m#3,key=a b", "api_key_env"),
        ("openai:m#3,window=0", "window=0"),
    ],
)
def test_parts_out_of_their_range_are_refused(spec: str, message: str | None) -> None:
    if message is None:  # what is no address belongs to the model's name
        assert specs.make(spec).id == "m@ftp://host@api.openai.com/v1"
        return
    with pytest.raises(InvalidInput, match=message):
        specs.make(spec)


@pytest.mark.parametrize(
    "spec",
    ["openai:m@https://me:SECRET@host/v1#3", "openai:m@https://me:SECRET@host/v1", "opnai:@http://SECRET@host#3"],
)
def test_a_password_is_not_repeated(spec: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        specs.make(spec)
    assert "SECRET" not in str(caught.value)
