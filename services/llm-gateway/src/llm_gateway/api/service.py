"""LlmGatewayService: translate, call, translate."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from fleetdesk.llm_gateway.v1 import budget_pb2
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceServicer
from fleetkit.clock import Clock
from fleetkit.context import tenant_id
from fleetkit.errors import InvalidArgument
from fleetkit.ids import new_id
from fleetkit.postgres import Database
from fleetkit.rpc.fields import (
    to_optional_time,
    to_optional_uuid,
    to_uuid,
)
from grpc.aio import ServicerContext

from llm_gateway import answer, budgets, complete, embed, export, rerank, see, usage
from llm_gateway.answer import Ladder
from llm_gateway.attempts import Attempts
from llm_gateway.complete import Completers
from llm_gateway.completing import Prompt
from llm_gateway.embed import Embedders
from llm_gateway.metering import Metering
from llm_gateway.models import Models
from llm_gateway.prices import TenantPrices
from llm_gateway.question import Question
from llm_gateway.rerank import Rerankers
from llm_gateway.reranking import Document
from llm_gateway.response_cache import Asked, ResponseCache
from llm_gateway.routing import load_weights
from llm_gateway.see import Readers
from llm_gateway.seeing import Content, Region
from llm_gateway.store.ledger import Selection
from llm_gateway.tenant_keys import TenantKeys
from llm_gateway.wire.calls import to_budget_status, to_question, to_response
from llm_gateway.wire.rows import to_budget, to_entry
from llm_gateway.workers.lanes import Lane

_LANES = {pb.EMBED_KIND_QUERY: Lane.INTERACTIVE, pb.EMBED_KIND_PASSAGE: Lane.BULK}
_LEVELS: dict[int, str] = dict(
    zip(budget_pb2.BudgetLevel.values()[1:], budgets.LEVELS, strict=True)
)
_PERIODS: dict[int, str] = dict(
    zip(budget_pb2.BudgetPeriod.values()[1:], budgets.PERIODS, strict=True)
)
_CONTENTS = {
    pb.CONTENT_KIND_CODE_TEXT: Content.CODE_TEXT,
    pb.CONTENT_KIND_STATIC_UI: Content.STATIC_UI,
    pb.CONTENT_KIND_DOCUMENTATION: Content.DOCUMENTATION,
    pb.CONTENT_KIND_VIDEO: Content.VIDEO,
}
_FORMATS: dict[int, str] = dict(zip(pb.ExportFormat.values()[1:], export.FORMATS, strict=True))
_KEYS = dict(zip(pb.UsageKey.values()[1:], usage.KEYS, strict=True))


@dataclass(frozen=True, slots=True)
class Once:
    """What serves calls without a stream, and what calls cost."""

    readers: Readers
    rerankers: Rerankers
    completers: Completers
    prices: TenantPrices


@dataclass(frozen=True, slots=True)
class Answering:
    """The models that answer, how they are tried, and the answers that are kept."""

    models: Models
    keys: TenantKeys
    attempts: Attempts
    responses: ResponseCache


class LlmGatewayApi(LlmGatewayServiceServicer):
    """The RPCs of llm-gateway."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        metering: Metering,
        answering: Answering,
        embedders: Embedders,
        once: Once,
    ) -> None:
        self._db = db
        self._clock = clock
        self._metering = metering
        self._models = answering.models
        self._keys = answering.keys
        self._responses = answering.responses
        self._attempts = answering.attempts
        self._routing = load_weights()
        self._embedders = embedders
        self._once = once

    async def Answer(
        self, request: pb.AnswerRequest, context: ServicerContext
    ) -> AsyncIterator[pb.AnswerResponse]:
        question = to_question(request)
        ladder = Ladder(request.next_models, request.first_tier, request.difficult_share_millis)
        pieces = self._responses.answer(
            tenant_id(),
            Asked(question, ladder),
            lambda: answer.answer(
                self._attempts,
                self._models,
                self._keys,
                self._routing,
                tenant_id(),
                question,
                ladder,
            ),
        )
        try:
            async for piece in pieces:
                yield to_response(piece)
        finally:
            await pieces.aclose()

    async def Embed(self, request: pb.EmbedRequest, context: ServicerContext) -> pb.EmbedResponse:
        lane = _LANES.get(request.kind)
        if lane is None:
            raise InvalidArgument("kind is not set: use query or passage", field="kind")
        made = await embed.embed(
            self._metering,
            self._embedders,
            tenant_id(),
            request.texts,
            lane,
            request.model,
            token_vectors=request.token_vectors,
        )
        given = made.embedded
        rows = zip(given.vectors, given.tokens, given.token_vectors, strict=True)
        embeddings = [
            pb.Embedding(values=vector.tolist(), token_count=tokens, token_vectors=kept)
            for vector, tokens, kept in rows
        ]
        return pb.EmbedResponse(embeddings=embeddings, model=made.model)

    async def Rerank(
        self, request: pb.RerankRequest, context: ServicerContext
    ) -> pb.RerankResponse:
        documents = [Document(given.text, given.token_vectors) for given in request.documents]
        made = await rerank.rerank(
            self._metering,
            self._once.rerankers,
            tenant_id(),
            request.query,
            documents,
            request.model,
        )
        return pb.RerankResponse(scores=made.scores, model=made.model)

    async def See(self, request: pb.SeeRequest, context: ServicerContext) -> pb.SeeResponse:
        regions = [Region(box.x, box.y, box.width, box.height) for box in request.regions]
        picture = see.checked_picture(request.image, regions)
        content = _CONTENTS.get(request.content, Content.STATIC_UI)
        seen = await see.see(
            self._metering, self._once.readers, tenant_id(), picture, content, request.model
        )
        lines = [
            pb.SeenLine(
                text=line.text,
                box=pb.PixelBox(
                    x=line.box.x, y=line.box.y, width=line.box.width, height=line.box.height
                ),
                confidence_millis=round(line.confidence * 1000),
            )
            for line in seen.reading.lines
        ]
        return pb.SeeResponse(
            lines=lines, model=seen.model, description=seen.reading.shows, reason=seen.reason
        )

    async def Complete(
        self, request: pb.CompleteRequest, context: ServicerContext
    ) -> pb.CompleteResponse:
        prompt = Prompt(
            model=request.model,
            instructions=request.instructions,
            text=request.prompt,
            max_tokens=request.max_tokens,
            temperature_millis=request.temperature_millis,
        )
        made = await complete.complete(
            self._metering,
            self._once.completers,
            self._keys,
            tenant_id(),
            prompt,
            request.json_schema,
        )
        return pb.CompleteResponse(
            text=made.text,
            json=made.json,
            model=made.model,
            call_id=str(made.call_id),
            repaired=made.repaired,
            cut=made.cut,
        )

    async def ListUsage(
        self, request: pb.ListUsageRequest, context: ServicerContext
    ) -> pb.ListUsageResponse:
        selection = Selection(
            message_id=to_optional_uuid(request.message_id, "message_id"),
            conversation_id=to_optional_uuid(request.conversation_id, "conversation_id"),
            start_time=to_optional_time(request, "start_time"),
            end_time=to_optional_time(request, "end_time"),
        )
        page = await usage.list_usage(
            self._db, tenant_id(), selection, request.page_size, request.page_token
        )
        return pb.ListUsageResponse(
            items=[to_entry(row) for row in page.items],
            next_page_token=page.next_page_token,
            total_nanos=page.total_nanos,
        )

    async def SummarizeUsage(
        self, request: pb.SummarizeUsageRequest, context: ServicerContext
    ) -> pb.SummarizeUsageResponse:
        group_by = _KEYS.get(request.group_by)
        if group_by is None:
            raise InvalidArgument(
                f"group_by is not set: use one of {', '.join(usage.KEYS)}", field="group_by"
            )
        if request.split_by and request.split_by not in _KEYS:
            raise InvalidArgument("split_by is not a known key", field="split_by")
        selection = Selection(
            start_time=to_optional_time(request, "start_time"),
            end_time=to_optional_time(request, "end_time"),
        )
        split_by = _KEYS.get(request.split_by, "")
        summary = await usage.summarize_usage(self._db, tenant_id(), group_by, split_by, selection)
        groups = [
            pb.UsageGroup(
                key=group.key,
                split_key=group.split_key,
                amount_nanos=group.amount_nanos,
                saved_nanos=group.saved_nanos,
                unconfirmed_nanos=group.unconfirmed_nanos,
            )
            for group in summary.groups
        ]
        return pb.SummarizeUsageResponse(total_nanos=summary.total_nanos, groups=groups)

    async def ExportUsage(
        self, request: pb.ExportUsageRequest, context: ServicerContext
    ) -> AsyncIterator[pb.ExportUsageResponse]:
        pieces = export.export_usage(
            self._db,
            tenant_id(),
            _named(_FORMATS, request.format, "format"),
            to_optional_time(request, "start_time"),
            to_optional_time(request, "end_time"),
            self._clock.now(),
        )
        async for data in pieces:
            yield pb.ExportUsageResponse(data=data)

    async def ListBudgets(
        self, request: pb.ListBudgetsRequest, context: ServicerContext
    ) -> pb.ListBudgetsResponse:
        items, time_zone = await budgets.list_budgets(self._db, self._clock, tenant_id())
        return pb.ListBudgetsResponse(
            items=[to_budget_status(status) for status in items], time_zone=time_zone
        )

    async def CreateBudget(
        self, request: pb.CreateBudgetRequest, context: ServicerContext
    ) -> pb.CreateBudgetResponse:
        new = budgets.NewBudget(
            level=_named(_LEVELS, request.level, "level"),
            target_id=to_optional_uuid(request.target_id, "target_id"),
            period=_named(_PERIODS, request.period, "period"),
            limit_nanos=request.limit_nanos,
            hard=request.hard,
            budget_id=to_optional_uuid(request.request_id, "request_id") or new_id(),
        )
        made = await budgets.create_budget(self._db, self._clock, tenant_id(), new)
        return pb.CreateBudgetResponse(budget=to_budget(made))

    async def UpdateBudget(
        self, request: pb.UpdateBudgetRequest, context: ServicerContext
    ) -> pb.UpdateBudgetResponse:
        budget_id = to_uuid(request.budget_id, "budget_id")
        hard = request.hard if request.HasField("hard") else None
        unchanged: dict[str, str | UUID] = {}
        if request.level:
            unchanged["level"] = _named(_LEVELS, request.level, "level")
        if request.period:
            unchanged["period"] = _named(_PERIODS, request.period, "period")
        if request.target_id:
            unchanged["target_id"] = to_uuid(request.target_id, "target_id")
        changed = await budgets.update_budget(
            self._db, tenant_id(), budget_id, request.limit_nanos, hard, unchanged
        )
        return pb.UpdateBudgetResponse(budget=to_budget(changed))

    async def DeleteBudget(
        self, request: pb.DeleteBudgetRequest, context: ServicerContext
    ) -> pb.DeleteBudgetResponse:
        budget_id = to_uuid(request.budget_id, "budget_id")
        await budgets.delete_budget(self._db, tenant_id(), budget_id)
        return pb.DeleteBudgetResponse()

    async def SetBudgetTimeZone(
        self, request: pb.SetBudgetTimeZoneRequest, context: ServicerContext
    ) -> pb.SetBudgetTimeZoneResponse:
        await budgets.set_time_zone(self._db, self._clock, tenant_id(), request.time_zone)
        return pb.SetBudgetTimeZoneResponse()

    async def ListModels(
        self, request: pb.ListModelsRequest, context: ServicerContext
    ) -> pb.ListModelsResponse:
        own = await self._once.prices.own(tenant_id())
        models = [
            pb.Model(
                model=model.model,
                is_default=model.is_default,
                input_nanos_per_million=model.input_nanos_per_million,
                output_nanos_per_million=model.output_nanos_per_million,
                unit=model.unit,
            )
            for model in self._models.listed(own, await self._keys.of(tenant_id()))
        ]
        return pb.ListModelsResponse(models=models)

    async def EstimateAnswer(
        self, request: pb.EstimateAnswerRequest, context: ServicerContext
    ) -> pb.EstimateAnswerResponse:
        agent = answer.checked(
            Question(
                model=request.model,
                instructions=request.instructions,
                history=(),
                passages=(),
                text="?",
                max_tokens=request.max_tokens,
                temperature_millis=0,
                prompt_caching=request.prompt_caching,
            )
        )
        found = self._models.estimates(
            tenant_id(),
            [request.model, *request.next_models],
            agent,
            await self._once.prices.own(tenant_id()),
            await self._keys.of(tenant_id()),
            screen=request.screen_sharing,
        )
        tiers = [
            pb.TierEstimate(tier=each.tier, model=each.model, most_nanos=each.most_nanos)
            for each in found
        ]
        return pb.EstimateAnswerResponse(
            tiers=tiers, most_nanos=sum(tier.most_nanos for tier in tiers)
        )


def _named(names: Mapping[int, str], value: int, field: str) -> str:
    if value not in names:
        raise InvalidArgument(
            f"{field} is not set: use one of {', '.join(names.values())}", field=field
        )
    return names[value]
