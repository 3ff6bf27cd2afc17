"""Languages: told apart, stemmed each by its own rules, met by queries in any of them."""

import pytest
from fleetdesk.retrieval.v1 import retrieval_service_pb2 as pb
from retrieval.index.languages import detect
from retrieval.index.terms import terms, variants

GERMAN = (
    "# Kalk im Wasserkocher\n\nVerkalkungen schaden der Heizung. Wenn der Fehler E-1042 erscheint, "
    "entkalken Sie das Gerät und starten es neu.\n"
)
FRENCH = (
    "# Rembourser un achat\n\nNous remboursons les bouilloires défectueuses dans les trente jours. "
    "Les demandes sont traitées par notre service.\n"
)
SPANISH = (
    "# Garantía de las tostadoras\n\nLas tostadoras tienen una garantía de dos años. Las piezas "
    "dañadas se cambian gratis en cualquiera de nuestras tiendas.\n"
)
ENGLISH = "# Delivery\n\nWe deliver kettles on weekdays. Parcels are tracked by the carrier.\n"


class TestDetect:
    @pytest.mark.parametrize(
        ("text", "language"),
        [
            (GERMAN, "de"),
            (FRENCH, "fr"),
            (SPANISH, "es"),
            (ENGLISH, "en"),
            ("E-1042 avrdude.conf", "en"),
            ("", "en"),
            ("配線を確認してから、もう一度 やり直して ください。 電源を 切って ください。", ""),
        ],
    )
    def test_tells_languages_apart(self, text, language):
        assert detect(text) == language


class TestTerms:
    def test_are_stems_of_the_language_without_its_stop_words(self):
        assert terms("Die Heizungen der Geräte", "de") == terms("Heizung Gerät", "de")
        assert terms("l'eau des bouilloires", "fr") == ["eau", "bouilloir"]
        assert terms("nicht ohne E-1042", "de") == ["nicht", "ohn", "e-1042", "e", "1042"]


class TestVariants:
    def test_are_a_form_for_each_language(self):
        assert variants("Tostadoras", ("en", "es")) == [("tostadora", "tostador")]

    def test_leave_out_what_is_a_stop_word_of_the_likeliest_language(self):
        assert variants("wo ist die Heizung", ("de", "en")) == [("heizung",)]

    def test_of_one_language_are_its_terms(self):
        assert variants("the kettles", ("en",)) == [("kettl",)]


class TestSearch:
    async def test_meets_documents_of_each_language(self, knowledge, embeddings, retrieval):
        languages: dict[str, str] = {}
        sources: dict[str, str] = {}
        for name, body in (("de", GERMAN), ("fr", FRENCH), ("es", SPANISH), ("en", ENGLISH)):
            source = await knowledge.add(body, external_id=name)
            with knowledge.acting():
                request = pb.GetDocumentRequest(document_id=source.document_id)
                document = (await knowledge.stub.GetDocument(request)).document
            languages[document.external_id] = document.language
            sources[name] = source.source_id
        assert languages == {"de": "de", "fr": "fr", "es": "es", "en": "en"}
        embeddings.down = True
        for query, name in (
            ("Wie vermeide ich die Verkalkung?", "de"),
            ("Comment faire rembourser une bouilloire défectueuse", "fr"),
            ("cambiar una pieza dañada", "es"),
            ("is a parcel tracked", "en"),
            ("E-1042", "de"),
            ("bouiloires", "fr"),
        ):
            results = (await knowledge.search(query)).results
            assert results[0].external_id == name, query
        await knowledge.delete(sources["fr"])
        (stat,) = await retrieval.rows("select languages from index_stat")
        assert stat["languages"] == ["de", "en", "es"]
