"""What vision-agent does when others say something happened."""

from collections.abc import Mapping

from fleetkit.erasure import erasing, finishing
from fleetkit.events import Handler

from vision_agent.erasure import ERASURE

HANDLERS: Mapping[str, Handler] = {
    "fleetdesk.gateway.v1.ErasureRequested": erasing(ERASURE),
    "fleetdesk.gateway.v1.ErasureFinished": finishing(),
}
