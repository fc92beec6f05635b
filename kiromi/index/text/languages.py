"""Which language a text is in, and the stems of its words: Snowball, through tantivy.

Detection weighs function words, which every sentence has, and then script and letters; it needs microseconds and no
model. It is allowed to be wrong: a word is searched under its stems in every language present, so an equal word is
always found. Leaves to its callers what they do with a text whose language is unknown (its words are not stemmed).
"""

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tantivy import TextAnalyzer

UNKNOWN = "und"
"""BCP 47 for a language that is not known; nothing is stemmed."""
STEMMERS = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "fi": "finnish", "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
_BRITISH_HINT = re.compile("our|is[eai]|lys|tre")
_BRITISH = re.compile(
    r"(?<=[a-z]{3})our(?=(?:s|ed|ing|al|able|ably|ful|less|ite|ites|hood|ly)*\b)"
    r"|(?<=[a-z]{3})is(?=(?:e|es|ed|ing|er|ers|ation|ations|ational)\b)"
    r"|(?<=l)ys(?=(?:e|ed|er|ers|ing)\b)"
    r"|(?:(?<=\bcent)|(?<=theat)|(?<=lit)|(?<=\bmet))re(?=s?\b)"
)
_AMERICAN = {"our": "or", "is": "iz", "ys": "yz", "re": "er"}
"""Spellings are made one, consistently rather than correctly: ``exercise`` becomes ``exercize`` everywhere."""
_ALIASES = {"nb": "no", "nn": "no"}
_LOOKED_AT = 100
"""Tokens from the beginning of a text that detection looks at."""

FUNCTION_WORDS = {
    "ar": "في من على أن إلى هذا هذه التي الذي لا ما عن مع كان كانت هو هي ثم أو بين كل قد لم بعد قبل أنا نحن هل",
    "da": "og i jeg det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham"
    " hun nu over da fra du ud sin dem os op hvad hvor eller skal selv hvis blev kunne når hvordan mit noget",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an er hat aus"
    " bei sind nach wie einer um am werden wird noch oder war einen über vor zum kann nur sie ich wir mir mein meine"
    " aber wenn durch was welche welcher wo wann wer warum wurde haben sein diese dieser vom zur einem",
    "el": "και το να του η της με για την από ο στο τον των τα που θα δεν οι ένα μια στην είναι ήταν σε τι πως",
    "en": "the a an of to in on at by for with from as into about than and or but if not no so that this these those"
    " there here it its itself i me my mine myself we us our ours ourselves you your yours yourself he him his himself"
    " she her hers herself they them their theirs themselves is am are was were be been being have has had having do"
    " does did doing done will would shall should can could may might must ought just also any some such what which"
    " who whom whose when where why how i'm i've i'd i'll you're you've you'd you'll he'd he'll she'd she'll we're"
    " we've we'd we'll they're they've they'd they'll isn't aren't wasn't weren't hasn't haven't hadn't doesn't don't"
    " didn't won't wouldn't can't couldn't shouldn't mustn't cannot",
    "es": "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque"
    " esta entre cuando muy sin sobre también me hasta hay donde quien desde qué cómo cuál es son fue mi está yo nos",
    "fi": "ja on ei se että oli hän mutta ovat kun niin kuin tai myös joka jos mitä minä sinä me he siitä sen olen ole"
    " olla vain nyt mikä missä kuka miten tämä tämän hänen ollut voi sekä jotka minun",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la avec son"
    " je nous vous mais ou si leur y dont elle aux cette ces été être comme quel quelle où quand mon ma mes sa ses il"
    " ils on tout fait était c'est j'ai l'on qu'il d'un d'une",
    "hu": "a az és hogy nem is egy ez van volt de ha csak már még meg mint el azt ki kell mert vagy én ezt nagyon lesz"
    " hol mi mit ami aki lehet minden",
    "it": "di e il la che in a per un è del non sono le si con i da una dei nel alla gli come più al lo della ma ha"
    " anche mi ho io questo questa quando dove chi cosa perché o se suo sua mio mia ci delle degli nella dal",
    "nl": "de het een en van ik te dat die in is niet zijn op aan met voor er maar om hem dan zou of wat mijn men dit"
    " zo door over ze bij ook tot je mij uit der daar naar heb hoe heeft hebben deze u want nog zal me zij nu geen"
    " wordt werd waar wie welke",
    "no": "og i jeg det at en et den til er som på de med han av ikke der så var meg seg men ett har om vi min mitt ha"
    " hadde hun nå over da ved fra du ut sin dem oss opp hva hvor eller skal selv hvis ble kunne når hvordan noe etter",
    "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou"
    " quando muito nos já eu também só pelo pela até isso ela entre depois sem mesmo aos são foi é está meu minha onde"
    " quem qual",
    "ro": "și în de la cu pe nu a un o este care din mai să se ce că sunt pentru au fi dar dacă prin ca lui fost sau"
    " după eu al ale unde cine cum când acest această îmi mi era",
    "ru": "и в не на я что он с как это по но а к у из за от так же то было его для мы вы она они ее мне был бы до или"
    " если уже при есть где кто когда какой мой моя быть",
    "sv": "och i att det som en på är av för med den till inte har de ett om han men jag var sig från vi så kan man när"
    " hon under också efter eller nu sin där vid mot ska skulle hur få vad vem min mitt mig du detta blev",
    "ta": "ஒரு என்று மற்றும் இந்த இது என்ற கொண்டு என்பது பல ஆகும் அல்லது அவர் நான் உள்ள அந்த இவர் என அது என்ன",
    "tr": "ve bir bu da de için ile çok ne daha gibi o var ama olan olarak en kadar sonra ben mi değil her ki ya ise"
    " şey benim nerede kim nasıl zaman hangi oldu olduğu tarafından bana",
}  # fmt: skip
_DENSE_FUNCTION_WORDS = (
    "的 了 是 在 吗 呢 什 么 谁 哪 多 少 有 为 和 与 及 被 把 个 这 那 嗎 麼 誰 個 這 為 與"
    " 什么 什麼 多少 哪个 哪些 哪里 哪裡 谁是 如何 怎么 为什 怎样 是什 是谁 有多 少个"
    " は が を に で と も へ や か の です ます した して から まで する いる ある ない れる 何 誰 どこ いつ なぜ"
    " 은 는 이 가 을 를 에 의 도 로 와 과 에서 입니 니다 무엇 누가 언제 어디"
)
"""Characters and pairs of characters that nearly every Chinese, Japanese or Korean text has."""
COMPOUNDING = frozenset({"da", "de", "fi", "hu", "nl", "no", "sv"})
"""Languages that write compounds in one word."""
_LETTERS = {
    "de": "äöüß", "da": "æøå", "no": "æøå", "sv": "äöå", "fi": "äö", "fr": "éèêçàùœîôûë", "es": "ñáéíóú¿¡",
    "pt": "ãõçáéíóúâê", "it": "àèìòù", "ro": "ăâîșțşţ", "tr": "ğışçöü", "hu": "őűáéíóúöü", "nl": "ëï",
}  # fmt: skip
_FOREIGN_CYRILLIC = frozenset("іїєґўјљњћђџѓќѕәғқңөұүһ")
_FOREIGN_ARABIC = frozenset("پچژگکیےںٹڈڑہھ")


def known(tag: str | None) -> str | None:
    """Return the code of a language tag such as ``de-AT``; None if there is no tag, ``und`` if it has no stemmer."""
    if not tag:
        return None
    code = tag.replace("_", "-").split("-", 1)[0].lower()
    code = _ALIASES.get(code, code)
    return code if code in STEMMERS else UNKNOWN


def detect(words: Sequence[str]) -> str:
    """Return the most likely language of a text, or ``und``.

    A text in Latin letters that has neither function words nor letters of a language is taken for English, which most
    short notes of agents are.

    Args:
        words: its tokens, case-folded.
    """
    table = _by_word()
    scores: dict[str, float] = {"en": 0.3}
    sample = words[:_LOOKED_AT]
    for word in sample:
        for code, weight in table.get(word, ()):
            scores[code] = scores.get(code, 0.0) + weight
    text = "".join(sample)
    if text.isascii():
        return UNKNOWN if text.isdigit() or not text else max(scores, key=scores.__getitem__)
    script = _script(text)
    if script is not None:
        return script
    letters = set(text)
    for code, special in _LETTERS.items():
        count = len(letters.intersection(special))
        if count:
            scores[code] = scores.get(code, 0.0) + 0.4 * count
    return max(scores, key=scores.__getitem__)


def stems(words: Sequence[str], code: str) -> Sequence[str]:
    """Return the stem of each word (case-folded, without white space); of an unknown language the words themselves."""
    if code == UNKNOWN or not words:
        return words
    text = " ".join(words)
    if code == "en" and _BRITISH_HINT.search(text):
        text = _BRITISH.sub(lambda match: _AMERICAN[match[0]], text)
    return _stemmer(code).analyze(text)


def is_function_word(word: str, code: str) -> bool:
    """Whether a case-folded word is one that nearly every text of the language has."""
    return word in _dense_function_words() or any(code == other for other, _ in _by_word().get(word, ()))


def _script(text: str) -> str | None:
    """Return the language of a text that is mostly in a script of its own; None for Latin letters."""
    counts = {"el": 0, "ru": 0, "ar": 0, "ta": 0, UNKNOWN: 0, "": 0}
    for letter in text:
        counts[_script_of(letter)] += 1
    best = max(counts, key=counts.__getitem__)
    if best == "ru" and not _FOREIGN_CYRILLIC.isdisjoint(text):
        return UNKNOWN
    if best == "ar" and not _FOREIGN_ARABIC.isdisjoint(text):
        return UNKNOWN
    return best or None


def _script_of(letter: str) -> str:
    if letter < "\u0370" or "\u1e00" <= letter < "\u1f00":
        return ""
    if letter < "\u0400" or "\u1f00" <= letter < "\u2000":
        return "el"
    if letter < "\u0530":
        return "ru"
    if "\u0600" <= letter < "\u0700":
        return "ar"
    if "\u0b80" <= letter < "\u0c00":
        return "ta"
    return UNKNOWN


@functools.cache
def _dense_function_words() -> frozenset[str]:
    return frozenset(_DENSE_FUNCTION_WORDS.split())


@functools.cache
def _by_word() -> dict[str, tuple[tuple[str, float], ...]]:
    """Languages by function word, each with a weight: a word that few languages have says more."""
    languages: dict[str, list[str]] = {}
    for code, text in FUNCTION_WORDS.items():
        for word in dict.fromkeys(text.split()):
            languages.setdefault(word, []).append(code)
    return {word: tuple((code, 1 / len(codes)) for code in codes) for word, codes in languages.items()}


@functools.cache
def _stemmer(code: str) -> "TextAnalyzer":
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    return TextAnalyzerBuilder(Tokenizer.whitespace()).filter(Filter.stemmer(STEMMERS[code])).build()
