"""Tokens, stems and languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiromi.index.text.analysis import MAX_TOKEN, fold, grams, scan, terms, tokenise
from kiromi.index.text.languages import STEMMERS, UNKNOWN, detect, known, stems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ana's don't l'eau d’accord", ["ana", "don't", "l", "eau", "d", "accord"]),
        ("foo_bar v1.2 a@b.com 10,000", ["foo", "bar", "v1", "2", "a", "b", "com", "10", "000"]),
        ("C++ and C#, not C", ["c++", "and", "c#", "not", "c"]),
        ("黑豹NFL ｶﾞｽ", ["黑", "豹", "nfl", "ガ", "ス"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("Straße İ ﷺ", ["strasse", "i̇", "صلىاللهعليهوسلم"]),
        ("हिन्दी", ["हिन्दी"]),
        ("cafe\u0301 Ångström", ["café", "ångström"]),
        ("\u1112\u1161\u11ab", ["한"]),
        ("a🎉b", ["a", "🎉", "b"]),
        ("x" * 1_000, ["x" * MAX_TOKEN]),
        ("\u2028 !? \x00 \ud800", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert list(tokenise(text)) == words


@given(st.text(st.one_of(st.characters(), st.sampled_from("aA'’.-_ 黑ガ\u0e31é")), max_size=80))
def test_tokens_are_the_same_quickly_and_with_places(text: str) -> None:
    tokens = scan(text)
    assert [token.text for token in tokens] == list(tokenise(text))
    last = 0
    for token in tokens:
        assert last <= token.begin < token.end <= len(text)
        assert token.text
        assert not any(letter.isspace() for letter in token.text)
        last = token.end


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("abcABC'’.-_ 黑ガé")), max_size=80),
    st.sampled_from([*STEMMERS, UNKNOWN]),
)
def test_there_is_one_stem_for_each_word(text: str, code: str) -> None:
    found = terms(text, tokenise(text), code)
    assert len(found.bag) == sum(not token.is_dense for token in scan(text))


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("e-mail", ["email"]),
        ("10,000.5", ["100005"]),
        ("getUserName", ["get", "user", "name"]),
        ("黑豹队 的", ["黑豹", "豹队", "的"]),
        ("plain", []),
    ],
)
def test_what_else_a_text_answers_to(text: str, extra: list[str]) -> None:
    assert list(terms(text, tokenise(text), UNKNOWN).extra) == extra


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What did Caroline paint last summer?", "en"),
        ("Prefers aisle seats", "en"),
        ("Wo hat er die Schuhe gekauft, und wann war das?", "de"),
        ("Où est la gare, et quand part le train pour Lyon ?", "fr"),
        ("¿Dónde está la biblioteca y cuándo abre los lunes?", "es"),
        ("Dove è la stazione e quando parte il treno per Roma?", "it"),
        ("Onde está o livro que eu não vi quando cheguei?", "pt"),
        ("Waar is het boek dat ik niet zag toen ik hier was?", "nl"),
        ("Var är boken som jag inte såg när jag kom hit?", "sv"),
        ("Hvor er bogen, som jeg ikke så, da jeg kom hvad?", "da"),
        ("Hva skjedde etter at hun så boken ved huset nå?", "no"),
        ("Missä on kirja, jota en ollut nähnyt kun tulin, ja mitä nyt?", "fi"),
        ("Hol van a könyv, amit nem láttam, és mit csinál most?", "hu"),
        ("Unde este cartea pe care nu am văzut-o când am venit și?", "ro"),
        ("Kitap nerede, ben onu neden görmedim ve şey ne zaman?", "tr"),
        ("Где книга, которую я не видел?", "ru"),
        ("Πού είναι το βιβλίο που δεν είδα;", "el"),
        ("أين الكتاب الذي لم أره من قبل", "ar"),
        ("புத்தகம் எங்கே என்று நான்", "ta"),
        ("Де книга, яку я не бачив її?", UNKNOWN),
        ("کتاب کجاست چه گفت", UNKNOWN),
        ("黑豹队的防守", UNKNOWN),
        ("हिन्दी भाषा", UNKNOWN),
        ("12 34", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_detection(text: str, code: str) -> None:
    assert detect(tokenise(text)) == code


@pytest.mark.parametrize(
    ("tag", "code"), [(None, None), ("", None), ("de-AT", "de"), ("EN_us", "en"), ("nb", "no"), ("zh-Hans", UNKNOWN)]
)
def test_tags(tag: str | None, code: str | None) -> None:
    assert known(tag) == code


def test_british_and_american_spellings_are_one() -> None:
    assert stems(["behaviour", "organised", "centre", "analyse"], "en") == stems(
        ["behavior", "organized", "center", "analyze"], "en"
    )
    assert len(set(stems(["hour", "our", "four", "for", "noise", "tree"], "en"))) == 6


def test_folding_and_grams() -> None:
    assert [fold(word) for word in ("łódź", "smørrebrød", "й", "ガ")] == ["lodz", "smorrebrod", "и", "ガ"]
    assert grams(["haustüren", "kurz", "12345678"]) == ["haust", "austu", "ustur", "sture", "turen"]
