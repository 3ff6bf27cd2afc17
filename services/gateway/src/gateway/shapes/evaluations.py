"""Bodies of evaluations: a tenant's own questions over its own knowledge."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fleetdesk.retrieval.v1 import evaluation_pb2, evaluation_service_pb2
from msgspec import Meta, Struct

from gateway.shapes.common import SomeText, label_of, optional_time, time_of

MAX_QUESTIONS = 1_000
MAX_CSV_CHARS = 2**20
ArmName = Literal["bm25", "dense", "fused", "reranked"]
_ARM = "EVALUATION_ARM_"


class EvaluationPair(Struct, frozen=True, forbid_unknown_fields=True):
    """A question and the documents that answer it.

    A document is named by its id, its source's external_id, its link, file name or title.
    """

    question: Annotated[SomeText, Meta(max_length=2_000)]
    documents: Annotated[list[SomeText], Meta(min_length=1, max_length=20)]


class EvaluationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be evaluated: one of `questions`, `csv` and `from_evaluation_id`.

    `csv` has the columns question and document, a row for each document of a question;
    `from_evaluation_id` asks the questions of an earlier run again.
    """

    name: Annotated[str, Meta(max_length=100)] = ""
    questions: Annotated[list[EvaluationPair], Meta(max_length=MAX_QUESTIONS)] = []
    csv: Annotated[str, Meta(max_length=MAX_CSV_CHARS)] = ""
    from_evaluation_id: UUID | None = None


class Measured(Struct, frozen=True):
    """A mean over questions, or a difference of two, with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, measured: evaluation_pb2.Measured) -> "Measured":
        """From the proto."""
        return cls(measured.mean, measured.low, measured.high)


class ArmFigures(Struct, frozen=True):
    """What one way of ordering reaches; `missed_count` has no right one among the first five."""

    arm: str | None
    ndcg_at_10: Measured
    recall_at_10: Measured
    mrr_at_10: Measured
    precision_at_5: Measured
    missed_count: int

    @classmethod
    def of(cls, figures: evaluation_pb2.ArmFigures) -> "ArmFigures":
        """From the proto."""
        return cls(
            arm=label_of(evaluation_pb2.EvaluationArm, figures.arm, _ARM),
            ndcg_at_10=Measured.of(figures.ndcg_at_10),
            recall_at_10=Measured.of(figures.recall_at_10),
            mrr_at_10=Measured.of(figures.mrr_at_10),
            precision_at_5=Measured.of(figures.precision_at_5),
            missed_count=figures.missed_count,
        )


class Evaluation(Struct, frozen=True):
    """One run. Runs over the same questions share a `set_id`.

    `figures` come when it has ended, or was cancelled: then of the questions searched.
    """

    evaluation_id: str
    set_id: str
    name: str
    state: str | None
    question_count: int
    done_count: int
    not_reranked_count: int
    error: str
    error_reason: str
    knowledge_version: int
    last_knowledge_version: int
    fusion_version: str
    rerank_model: str
    rerank_version: str
    embedding_model: str
    figures: list[ArmFigures]
    create_time: datetime
    begin_time: datetime | None
    end_time: datetime | None

    @classmethod
    def of(cls, evaluation: evaluation_pb2.Evaluation) -> "Evaluation":
        """From the proto."""
        return cls(
            evaluation_id=evaluation.evaluation_id,
            set_id=evaluation.set_id,
            name=evaluation.name,
            state=label_of(evaluation_pb2.EvaluationState, evaluation.state, "EVALUATION_STATE_"),
            question_count=evaluation.question_count,
            done_count=evaluation.done_count,
            not_reranked_count=evaluation.not_reranked_count,
            error=evaluation.error,
            error_reason=evaluation.error_reason,
            knowledge_version=evaluation.knowledge_version,
            last_knowledge_version=evaluation.last_knowledge_version,
            fusion_version=evaluation.fusion_version,
            rerank_model=evaluation.rerank_model,
            rerank_version=evaluation.rerank_version,
            embedding_model=evaluation.embedding_model,
            figures=[ArmFigures.of(figures) for figures in evaluation.figures],
            create_time=time_of(evaluation.create_time),
            begin_time=optional_time(evaluation, "begin_time"),
            end_time=optional_time(evaluation, "end_time"),
        )


class EvaluationList(Struct, frozen=True):
    """Evaluations, newest first."""

    items: list[Evaluation]
    next_page_token: str


class EvaluationComparison(Struct, frozen=True):
    """A run less an earlier one, over the questions that both searched.

    `gained_count` are questions that the earlier run missed, reranked, and this one finds.
    """

    baseline_evaluation_id: str
    question_count: int
    differences: list[ArmFigures]
    gained_count: int
    lost_count: int

    @classmethod
    def of(cls, comparison: evaluation_pb2.EvaluationComparison) -> "EvaluationComparison":
        """From the proto."""
        return cls(
            baseline_evaluation_id=comparison.baseline_evaluation_id,
            question_count=comparison.question_count,
            differences=[ArmFigures.of(figures) for figures in comparison.differences],
            gained_count=comparison.gained_count,
            lost_count=comparison.lost_count,
        )


class EvaluationDetail(Struct, frozen=True):
    """A run, beside an earlier one where that was asked for and both have ended."""

    evaluation: Evaluation
    comparison: EvaluationComparison | None

    @classmethod
    def of(cls, found: evaluation_service_pb2.GetEvaluationResponse) -> "EvaluationDetail":
        """From the proto."""
        compared = found.HasField("comparison")
        return cls(
            Evaluation.of(found.evaluation),
            EvaluationComparison.of(found.comparison) if compared else None,
        )


class EvaluationDocument(Struct, frozen=True):
    """A document; `title` is empty when it is gone, `expected` when it answers the question."""

    document_id: str
    title: str
    expected: bool

    @classmethod
    def of(cls, document: evaluation_pb2.EvaluationDocument) -> "EvaluationDocument":
        """From the proto."""
        return cls(document.document_id, document.title, document.expected)


class EvaluationQuestion(Struct, frozen=True):
    """A question with what was found; a rank is null when none is among the first ten."""

    ordinal: int
    question: str
    done: bool
    expected: list[EvaluationDocument]
    found: list[EvaluationDocument]
    bm25_rank: int | None
    dense_rank: int | None
    fused_rank: int | None
    reranked_rank: int | None
    relevance: float

    @classmethod
    def of(cls, question: evaluation_pb2.EvaluationQuestion) -> "EvaluationQuestion":
        """From the proto."""
        return cls(
            ordinal=question.ordinal,
            question=question.question,
            done=question.done,
            expected=[EvaluationDocument.of(document) for document in question.expected],
            found=[EvaluationDocument.of(document) for document in question.found],
            bm25_rank=question.bm25_rank or None,
            dense_rank=question.dense_rank or None,
            fused_rank=question.fused_rank or None,
            reranked_rank=question.reranked_rank or None,
            relevance=question.relevance,
        )


class EvaluationQuestionList(Struct, frozen=True):
    """Questions in the order given."""

    items: list[EvaluationQuestion]
    next_page_token: str
