"""Words that carry no topic; left out of postings and queries."""

from typing import Final

# Function words of English: determiners, pronouns, auxiliaries, prepositions, question words.
# Kept: "no", "not", "off", "on", "up", "down", "out", "over", "under" do change what is asked.
_WORDS = """
    a about after again all also am an and any are as at be because been before being between
    both but by can cannot could did do does doing done during each either else ever every few
    for from further get gets getting got had has have having he her here hers herself him
    himself his how however i if in into is it its itself just let lets like may me might mine
    more most much must my myself neither nor of often once one only onto or other otherwise our
    ours ourselves per please quite rather same shall she should since so some such than that
    the their theirs them themselves then there therefore these they this those though through
    thus to too until upon us very via was we were what whatever when whenever where whereas
    wherever whether which whichever while who whoever whom whose why will with within without
    would yes yet you your yours yourself yourselves d ll m re s t ve don doesn didn isn aren
    wasn weren won couldn wouldn shouldn hasn haven hadn ain
"""
ENGLISH: Final[frozenset[str]] = frozenset(_WORDS.split())
