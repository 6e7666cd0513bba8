"""One form for one telephone number, however it was dialled, written or presented. Standard library only.

Customers, callbacks and the blacklist are keyed by it: a trunk may present a caller as 013800138000 today and as
+8613800138000 tomorrow, and a list may say 138-0013-8000.
"""

import re

COUNTRY = "86"
NATIONAL_DIGITS = (10, 11)  # area code and subscriber, or a mobile number, without the 0 before it

_SEPARATORS = re.compile(r"[\s\-./()\u00a0\u2010-\u2015\uff08\uff09\uff0d]+")
_DIALLED = re.compile(r"\+?[0-9]{3,20}")
_DIGITS = re.compile(r"\+?[0-9]+")
_FULL_WIDTH = str.maketrans("０１２３４５６７８９＋＊", "0123456789+*")


def canonical(number: str, country: str = COUNTRY) -> str:
    """The form that numbers are compared by.

    1. Separators go: spaces, hyphens, dots, slashes, brackets; full-width digits become plain ones.
    2. `+` or `00` before the rest: international, written with `+`. (ITU-T E.123, E.164.)
    3. The country code without either, before a whole national number: the same as with it.
    4. A national number (10 or 11 digits after a trunk `0`, if any) gets `+` and the country code.
       `+86 (0) 138...`: the `0` goes.
    5. Anything else is itself: short codes (10086), extensions, a local number without its area code, names.
    """
    bare = _SEPARATORS.sub("", number.translate(_FULL_WIDTH))
    if not _DIGITS.fullmatch(bare):
        return number.strip()
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if bare.startswith("+"):
        own = f"+{country}0"
        return bare.replace(own, own[:-1], 1) if bare.startswith(own) else bare
    if bare.startswith(country) and len(bare) - len(country) in NATIONAL_DIGITS:
        return "+" + bare
    national = bare.removeprefix("0")
    return f"+{country}{national}" if len(national) in NATIONAL_DIGITS else bare


def can_be_called(number: str) -> bool:
    """Whether a number, in any form, is one to dial: a withheld one and a name are not."""
    return _DIALLED.fullmatch(canonical(number)) is not None


def canonical_pattern(pattern: str, country: str = COUNTRY) -> str:
    """The same for a number or `PREFIX*`, whose prefix is always made international: `0571*` is `+86571*`.

    Raises ValueError for what is neither.
    """
    text = pattern.strip().translate(_FULL_WIDTH)
    prefix, star, rest = text.partition("*")
    if not star:
        if not text:
            raise ValueError("no number")
        return canonical(text, country)
    bare = _SEPARATORS.sub("", prefix)
    if rest or not re.fullmatch(r"\+?[0-9]{1,20}", bare):
        raise ValueError(f"{pattern!r} is neither a number nor digits with one * at the end")
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if bare.startswith("+"):
        return bare + "*"
    return f"{international(bare.removeprefix('0'), country)}*"


def international(number: str, country: str = COUNTRY) -> str:
    """A canonical number as prefixes see it: short codes are of the own country."""
    return number if number.startswith("+") else f"+{country}{number}"
