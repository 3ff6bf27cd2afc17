"""All routes of pages and assets."""

from litestar.handlers import HTTPRouteHandler

from gateway.routes.pages import (
    account,
    agents,
    assets,
    audit,
    budgets,
    conflicts,
    conversations,
    costs,
    embedding,
    erasures,
    evaluations,
    experiments,
    general,
    handoffs,
    home,
    knowledge,
    models,
    search,
    settings,
    websites,
)

PAGES: list[HTTPRouteHandler] = [
    *assets.HANDLERS,
    *account.HANDLERS,
    *home.HANDLERS,
    *knowledge.HANDLERS,
    *websites.HANDLERS,
    *search.HANDLERS,
    *conflicts.HANDLERS,
    *evaluations.HANDLERS,
    *embedding.HANDLERS,
    *experiments.HANDLERS,
    *conversations.HANDLERS,
    *handoffs.HANDLERS,
    *agents.HANDLERS,
    *costs.HANDLERS,
    *budgets.HANDLERS,
    *general.HANDLERS,
    *settings.HANDLERS,
    *models.HANDLERS,
    *erasures.HANDLERS,
    *audit.HANDLERS,
]
