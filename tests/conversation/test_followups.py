"""Questions that lean on the one before, and those that must be left as they are."""

import pytest
from conversation.followups import is_fragment, leans, names_nothing, points_nowhere, standalone

UNO = "How do I reset the Uno?"
UNO_DE = "Wie setze ich den Uno zurück?"

# Written by hand; the rules were adjusted on them. The German ones are asked after UNO_DE.
LEANING = """
and on the Mini?
what about the Mini?
How about Windows?
And for students?
how long does it take?
How much does it cost?
is it free?
why?
when?
and in Germany?
Can I cancel it?
where can I find that?
does that work on Android too?
what does it mean?
with a credit card?
without an account?
how do I undo that?
what if it fails?
do they expire?
how do I turn it off?
And the other one?
is that possible on mobile?
which one?
on Linux
how often?
can I change them later?
and after 30 days?
same for annual plans?
or by phone?
What about refunds?
How do I remove it again?
is there another way?
Are those included?
so how do I fix it?
""".strip().splitlines()
LEANING_DE = """
und auf dem Mini?
Was ist mit Windows?
wie lange dauert das?
Kann ich es zurückgeben?
warum?
und ohne Konto?
Was kostet das?
Gilt das auch für Studenten?
Wie kann ich das kündigen?
""".strip().splitlines()
ALONE = """
How do I reset my password?
And how do I change my password?
I lost my card, what should I do about it?
Is it possible to cancel my subscription?
What is the refund policy?
refund policy
Mini
My printer shows an error, how do I fix it?
Where is the settings menu?
Can I use the app on Android?
How do I connect the Arduino Uno to the internet?
what is this fee on my statement
There is a charge I don't recognise on my card
Does the Pro plan include phone support?
How do I use it with the Nano 33 IoT and Bluetooth?
This board does not show up in the IDE
Can one account have two owners?
And where do I download the invoice for March?
Are there any fees for international transfers?
why was my payment declined?
In which countries is the service available?
For how long are backups kept?
On which devices does the app run?
""".strip().splitlines()
ALONE_DE = """
Wie setze ich mein Passwort zurück?
Was kostet der Versand nach Österreich?
Ist es möglich, mein Abo zu kündigen?
Wie kann ich das Abo kündigen?
""".strip().splitlines()


class TestLeans:
    @pytest.mark.parametrize("text", LEANING)
    def test_knows_what_leans(self, text: str) -> None:
        assert leans(text, [UNO])

    @pytest.mark.parametrize("text", LEANING_DE)
    def test_knows_what_leans_in_german(self, text: str) -> None:
        assert leans(text, [UNO_DE])

    @pytest.mark.parametrize("text", ALONE)
    def test_leaves_alone_what_stands_alone(self, text: str) -> None:
        assert standalone(text, [UNO]) == text

    @pytest.mark.parametrize("text", ALONE_DE)
    def test_leaves_alone_what_stands_alone_in_german(self, text: str) -> None:
        assert standalone(text, [UNO_DE]) == text

    @pytest.mark.parametrize("text", ["", "?", "👍", "x" * 10_000, "it " * 5_000])
    def test_odd_texts_do_not_lean(self, text: str) -> None:
        assert not leans(text, [UNO])

    def test_a_fragment_changes_what_was_asked(self) -> None:
        assert is_fragment("and on the Mini?", [UNO])
        assert not is_fragment("how long does it take?", [UNO])


class TestPointsNowhere:
    @pytest.mark.parametrize(
        "text",
        ["Can I change it?", "It does not work", "why?", "How do I turn it off?", "what is this"],
    )
    def test_knows_what_nothing_explains(self, text: str) -> None:
        assert points_nowhere(text)
        assert points_nowhere(text, ["thanks!", "Can I change it?"])
        assert not points_nowhere(text, [UNO])
        assert not points_nowhere(text, ["Can I change it?", UNO])

    @pytest.mark.parametrize("text", ["Kann ich das ändern?", "Es funktioniert nicht", "warum?"])
    def test_knows_it_in_german(self, text: str) -> None:
        assert points_nowhere(text)
        assert not points_nowhere(text, [UNO_DE])

    @pytest.mark.parametrize("text", [*ALONE, "on Linux", "Does it support USB printers?"])
    def test_leaves_what_says_what_it_is_about(self, text: str) -> None:
        assert not points_nowhere(text)


class TestNamesNothing:
    @pytest.mark.parametrize(
        "text", ["It does not work", "it's not working", "why?", "Es geht nicht"]
    )
    def test_has_no_word_to_look_for(self, text: str) -> None:
        assert names_nothing(text)

    @pytest.mark.parametrize("text", ["Can I change it?", "delete", UNO, "Kann ich das ändern?"])
    def test_others_have(self, text: str) -> None:
        assert not names_nothing(text)


class TestStandalone:
    def test_is_looked_up_together_with_what_it_leans_on(self) -> None:
        assert standalone("and on the Mini?", [UNO]) == f"{UNO}\nand on the Mini?"

    def test_without_anything_before_it_stays_as_it_is(self) -> None:
        assert standalone("and on the Mini?", []) == "and on the Mini?"
        assert standalone("and on the Mini?", ["hi", "thanks!"]) == "and on the Mini?"

    def test_a_new_fragment_takes_the_place_of_the_last(self) -> None:
        earlier = ["and on the Mini?", "thanks", UNO, "hi"]
        assert standalone("what about the Pro?", earlier) == f"{UNO}\nwhat about the Pro?"

    def test_what_points_back_means_the_last_fragment(self) -> None:
        earlier = ["what about the Pro?", "and on the Mini?", UNO]
        found = standalone("how long does it take?", earlier)
        assert found == f"{UNO}\nwhat about the Pro?\nhow long does it take?"

    def test_what_would_be_too_long_stays_as_it_is(self) -> None:
        assert standalone("why?", ["How? " * 1_000]) == "why?"
