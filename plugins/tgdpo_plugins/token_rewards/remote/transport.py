"""Calls of servers, as the core makes them: one door for rewards, judges and generation."""

from tgdpo_core.http_calls import Manners as Manners
from tgdpo_core.http_calls import ServerError as ServerError
from tgdpo_core.http_calls import Transport as Transport
