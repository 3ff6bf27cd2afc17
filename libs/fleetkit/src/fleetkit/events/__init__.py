"""Events: written with the change they tell of, published in order, handled once.

`publish` in the transaction of the change → `Relay` → JetStream → `Consumer` → `inbox` and the
handlers in one transaction.
"""

from fleetkit.events.consumer import Consumer
from fleetkit.events.envelope import EventMeta, event_subject
from fleetkit.events.handling import EvenIfErased, Handler, Together
from fleetkit.events.outbox import publish, replay
from fleetkit.events.relay import Relay
from fleetkit.events.revisions import is_latest

__all__ = [
    "Consumer",
    "EvenIfErased",
    "EventMeta",
    "Handler",
    "Relay",
    "Together",
    "event_subject",
    "is_latest",
    "publish",
    "replay",
]
