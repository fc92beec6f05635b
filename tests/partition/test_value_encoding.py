"""Any string becomes a folder name and comes back, or is refused; no two share one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.errors import InvalidInput
from kiromi.partition import check_name, decode, encode, tenant_folder

HIVE_DEFAULT = "__HIVE_DEFAULT_PARTITION__"
NASTY = st.sampled_from(
    [
        *'/\\=%:*?"<>|. ~+#aAfFkKiIıİsſSßẞµμΣσςǅéÉꭰᎠ日\u212a\U0001f600',
        *"\u0301\u0308\u0323\u0338\u0345\u00ad\u200d\ufe0f\ufeff\u2028\x00\n\x7f\x85",
        *("%2F", "..", "=\u0338", HIVE_DEFAULT, HIVE_DEFAULT.lower()),
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    # Each byte may take three, and 255 are possible.
    st.lists(NASTY, min_size=1, max_size=6).map("".join).filter(lambda text: len(text.encode()) <= 85),
)


def folds(component: str) -> dict[str, str]:
    """Return what filesystems that fold in different ways take a name for."""
    return {
        "ext4, APFS": unicodedata.normalize("NFD", unicodedata.normalize("NFD", component).casefold()),
        "upper": "".join(c.upper() for c in component),
        "lower": "".join(c.lower() for c in component),
        "NFC upper": unicodedata.normalize("NFC", component).upper(),
        "HFS+": unicodedata.normalize("NFD", component).lower().replace("\u200d", "").replace("\ufeff", ""),
        "ignorable": component.casefold().replace("\u00ad", "").replace("\ufe0f", ""),
    }


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("ana", "ana"),
        ("Ana Müller", "Ana Müller"),
        ("日本語", "日本語"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ('=%:*?"<>|', "%3D%25%3A%2A%3F%22%3C%3E%7C"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        (".hidden.", "%2Ehidden%2E"),
        ("v1.2", "v1.2"),
        (" a b ", "%20a b%20"),
        ("\x00\n\x1f\x7f\x80\x9f", "%00%0A%1F%7F%C2%80%C2%9F"),
        ("e\u0301ü", "e%CC%81%C3%BC"),
        ("<\u0301", "%3C%CC%81"),
        ("=\u0338é", "%3D%CC%B8%C3%A9"),
        ("\u0338x", "%CC%B8x"),
        (HIVE_DEFAULT, "%5F_HIVE_DEFAULT_PARTITION__"),
        (HIVE_DEFAULT.lower(), HIVE_DEFAULT.lower()),
        (None, HIVE_DEFAULT),
        ("%_*", "%25_%2A"),
    ],
)
def test_what_is_encoded(text: str | None, component: str) -> None:
    assert encode(text) == component
    assert decode(component) == text


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("Ana", "%41na"),
        ("É", "%C3%89"),
        ("é日", "é日"),
        ("ı", "%C4%B1"),
        ("\u212a", "%E2%84%AA"),
        ("ß", "%C3%9F"),
        ("a\u200db", "a%E2%80%8Db"),
        ("a/b", "a%2Fb"),
        ("\x85", "%C2%85"),
        (HIVE_DEFAULT.lower(), "%5F_hive_default_partition__"),
        (None, HIVE_DEFAULT),
    ],
)
def test_what_is_encoded_where_case_is_folded(text: str | None, component: str) -> None:
    assert encode(text, fold_case=True) == component
    assert decode(component) == text


@given(TEXTS, st.booleans())
def test_round_trip_is_exact(text: str, fold_case: bool) -> None:
    component = encode(text, fold_case=fold_case)
    assert decode(component) == text
    # A filesystem that normalises lists it in another form; its NFC is what was written.
    assert unicodedata.normalize("NFC", unicodedata.normalize("NFD", f"n={component}")) == f"n={component}"


@given(TEXTS, st.booleans())
def test_components_stay_in_their_place(text: str, fold_case: bool) -> None:
    component = encode(text, fold_case=fold_case)
    assert component
    assert component[0] not in ". "
    assert component[-1] not in ". "
    assert not set(component) & set('/\\=:*?"<>|')
    assert not any(unicodedata.category(character) == "Cc" for character in component)
    assert component != HIVE_DEFAULT


@given(st.lists(TEXTS, min_size=2, max_size=8, unique=True))
def test_two_values_never_share_a_component(texts: list[str]) -> None:
    components = [encode(text) for text in texts]
    assert len({unicodedata.normalize("NFD", component) for component in components}) == len(texts)


@given(st.lists(st.none() | TEXTS, min_size=2, max_size=8, unique=True))
def test_two_values_never_share_a_component_where_case_is_folded(texts: list[str | None]) -> None:
    folded = [folds(encode(text, fold_case=True)) for text in texts]
    for way in folded[0]:
        assert len({forms[way] for forms in folded}) == len(texts), way


@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
def test_single_characters_never_meet_when_folded(one: str, other: str) -> None:
    for left in (one, one.upper(), one.lower(), one.casefold(), unicodedata.normalize("NFKD", one)):
        for right in (other, one):
            if left and left != right:
                first, second = folds(encode(left, fold_case=True)), folds(encode(right, fold_case=True))
                assert all(first[way] != second[way] for way in first)


@given(st.text(st.sampled_from("%2FfaAé/=. \u0301C3"), max_size=8))
def test_decode_accepts_only_what_encode_writes(component: str) -> None:
    try:
        text = decode(component)
    except InvalidInput:
        return
    assert component in (encode(text), encode(text, fold_case=True))


@pytest.mark.parametrize(
    "component",
    ["", "a%2fb", "%61", "a%2", "%", "a/b", "a=b", ".", "..", "a ", "%FF", "\ud800", "e\u0301", "%41b%43D", "a%C3%A9"],
)
def test_decode_refuses(component: str) -> None:
    with pytest.raises(InvalidInput):
        decode(component)


@pytest.mark.parametrize("text", ["", "a\ud800", "a" * 256, "é" * 128, "/" * 86])
def test_encode_refuses(text: str) -> None:
    with pytest.raises(InvalidInput):
        encode(text)


def test_the_longest_component_is_255_bytes() -> None:
    assert encode("a" * 255) == "a" * 255
    assert encode("/" * 85) == "%2F" * 85
    with pytest.raises(InvalidInput, match="258 bytes"):
        encode("A" * 86, fold_case=True)


def test_names_obey_the_same_rules() -> None:
    assert check_name("acme corp", "tenant name") == "acme corp"
    assert tenant_folder("../Acme") == "%2E./Acme".replace("/", "%2F")
    assert tenant_folder("Acme", True) == "%41cme"
    for bad in ("", "x\udfff", "y" * 256):
        with pytest.raises(InvalidInput, match="tenant name"):
            check_name(bad, "tenant name")
        with pytest.raises(InvalidInput, match="tenant name"):
            tenant_folder(bad)
    with pytest.raises(InvalidInput, match="expected text"):
        check_name(7, "tenant name")  # type: ignore[arg-type]
