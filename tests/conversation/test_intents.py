"""What a visitor's words alone tell."""

import pytest
from conversation import intents
from conversation.intents import contains_phrase, is_one_word, language_of, small_talk, wants_person

ASKS = """
I want to talk to a human
talk to a person
human please
Agent!
Can I speak with someone?
Could I please talk to a real person?
connect me to a representative
let me speak to your manager
this bot is useless, give me a human
I need to speak to customer service
transfer me to an agent now
live agent
I'd like to speak with a support agent about my refund
I would rather talk to a human than a bot
please connect me with someone from support
Is there a real person I can talk to?
can someone call me?
I'm fed up. Human now!
I can't log in and want to talk to a human
please escalate this
How can I talk to a human?
Ich möchte mit einem Menschen sprechen
Kann ich bitte mit einem Mitarbeiter reden?
Verbinden Sie mich bitte mit einem echten Menschen.
Mitarbeiter bitte
Ich brauche einen Menschen!
Je voudrais parler à un conseiller
Puis-je parler avec quelqu’un ?
Passez-moi un humain s'il vous plaît
un conseiller svp
Quiero hablar con una persona real
¿Puedo hablar con un agente?
páseme con un asesor por favor
Vorrei parlare con un operatore
Posso parlare con una persona?
Quero falar com um atendente
Posso falar com uma pessoa de verdade?
Ik wil met een medewerker spreken
Kan ik met een echt mens praten?
""".strip().splitlines()

DOES_NOT_ASK = """
How do I talk to the agent API?
What is a support agent?
Where do I set the agent's name?
I talked to an agent yesterday and he said it is fixed
I don't want to talk to a human
please do not transfer me to an agent
Can customers talk to a human in the widget?
My customers want to talk to a human, how do I enable handoff?
Is the output human-readable?
The agent crashes when I connect it to the server
How can I chat with people in my team?
How can I talk to someone in my organisation through Slack?
How do I add a person to my account?
Can someone help me reset my password?
How do I transfer my license to another person's account?
I need an agent ID for the API
connect my board to the operator panel
Who is the operator of this website?
What are the support hours?
Are you a bot or a real person?
Am I talking to a machine, or a live person?
How do I pass this to the person class constructor?
forward it to the agent port 8080
Wie lege ich einen Mitarbeiter an?
Ich möchte nicht mit einem Menschen sprechen
Wo finde ich die Mitarbeiterliste?
Comment ajouter une personne à mon compte ?
¿Cómo agrego una persona a mi cuenta?
No quiero hablar con una persona
Come aggiungo un operatore al team?
Como adiciono uma pessoa à minha conta?
Hoe voeg ik een medewerker toe?
""".strip().splitlines()


class TestWantsPerson:
    @pytest.mark.parametrize("text", ASKS)
    def test_hears_a_request(self, text):
        assert wants_person(text)

    @pytest.mark.parametrize("text", DOES_NOT_ASK)
    def test_hears_none_in_a_question_about_persons(self, text):
        assert not wants_person(text)

    def test_looks_at_the_ends_of_a_long_text_only(self):
        log = "connection refused by peer\n" * 100
        assert wants_person(f"{log}\nI want to talk to a human")
        assert wants_person(f"I want to talk to a human.\n{log}")
        assert not wants_person(f"{log}\nconnect me to an agent\n{log}")

    @pytest.mark.parametrize("text", ["", " ", "???", "\n\n", "🙂", "|", "'" * 500])
    def test_bears_texts_without_words(self, text):
        assert not wants_person(text)


class TestSmallTalk:
    @pytest.mark.parametrize(
        ("text", "kind", "language"),
        [
            ("hi", "greeting", "en"),
            ("Hello there!", "greeting", "en"),
            ("Good morning everyone", "greeting", "en"),
            ("How are you?", "how_are_you", "en"),
            ("hey, how's it going?", "how_are_you", "en"),
            ("👍 thank you so much", "thanks", "en"),
            ("ok thanks", "thanks", "en"),
            ("ok, thanks, bye!", "farewell", "en"),
            ("ok", "acknowledgement", "en"),
            ("Got it!", "acknowledgement", "en"),
            ("I need help", "opener", "en"),
            ("Hi, can you help me?", "opener", "en"),
            ("are you a bot?", "are_you_a_bot", "en"),
            ("Hallo", "greeting", "de"),
            ("Guten Tag", "greeting", "de"),
            ("Vielen Dank!", "thanks", "de"),
            ("Bonjour", "greeting", "fr"),
            ("merci beaucoup", "thanks", "fr"),
            ("¡Hola!", "greeting", "es"),
            ("Grazie mille", "thanks", "it"),
            ("Olá, tudo bem?", "how_are_you", "pt"),
            ("dank je wel", "thanks", "nl"),
        ],
    )
    def test_is_a_text_of_nothing_else(self, text, kind, language):
        talk = small_talk(text)
        assert talk is not None
        assert (talk.kind, talk.language) == (kind, language)

    @pytest.mark.parametrize(
        "text",
        [
            "hi, how do I reset it?",
            "thanks, but it still does not work",
            "ok so where is the button",
            "help with reset",
            "hello world example",
            "how are you storing my data?",
            "are you a registered company?",
            "great, and for the Uno?",
            "yes",
            "no",
            "2",
            "the second one",
            "",
            "🙂",
            "danke, aber wo ist der Knopf?",
        ],
    )
    def test_is_not_what_says_more(self, text):
        assert small_talk(text) is None

    def test_takes_the_language_of_what_was_said_before(self):
        assert small_talk("ok") == intents.SmallTalk("acknowledgement", "en")
        before = ["Wie setze ich das Gerät zurück und wo ist der Knopf?"]
        assert small_talk("ok", before) == intents.SmallTalk("acknowledgement", "de")


class TestLanguageOf:
    @pytest.mark.parametrize(
        ("text", "language"),
        [
            ("How do I reset it?", "en"),
            ("Wie setze ich mein Passwort zurück?", "de"),
            ("Comment changer mon mot de passe ?", "fr"),
            ("¿Cómo puedo cambiar mi contraseña?", "es"),
            ("Come posso cambiare la password?", "it"),
            ("Como posso mudar a minha senha?", "pt"),
            ("Hoe kan ik mijn wachtwoord wijzigen?", "nl"),
            ("Hola", "es"),
        ],
    )
    def test_goes_by_frequent_words(self, text, language):
        assert language_of([text]) == language

    def test_asks_earlier_texts_when_one_is_unclear(self):
        assert language_of(["ESP32-C3", "Wie setze ich das zurück?"]) == "de"

    def test_is_english_when_nothing_tells(self):
        assert language_of(["ESP32-C3"]) == "en"
        assert language_of(["リセットの方法は?"]) == "en"
        assert language_of([]) == "en"


class TestIsOneWord:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("delete", True),
            (" Rückerstattung? ", True),
            ("password reset", False),
            ("E204", False),
            ("4711", False),
            ("如何重置路由器", False),
            ("リセット", False),
            ("รีเซ็ต", False),
            ("?", False),
            ("", False),
        ],
    )
    def test_in_scripts_with_spaces(self, text, expected):
        assert is_one_word(text) is expected


class TestContainsPhrase:
    def test_finds_whole_words_in_any_case(self):
        assert contains_phrase("I want a REFUND, please", ["refund"])
        assert contains_phrase("cancel  my-contract today", ["Cancel my contract"])
        assert contains_phrase("Erstatte mir das zurück", ["zuruck"])

    def test_finds_no_parts_of_words(self):
        assert not contains_phrase("Is this refundable?", ["refund"])
        assert not contains_phrase("my contract was cancelled", ["cancel my contract"])

    def test_an_empty_phrase_is_in_nothing(self):
        assert not contains_phrase("anything", ["", " ", "!"])
        assert not contains_phrase("anything", [])
