"""A fitted predictor that talks: glossary, tone, conversation, typed answers, and the choice among several."""

from promptkit.assistants.assistant import Assistant
from promptkit.assistants.chat import Chat, Turn
from promptkit.assistants.questions import Questions
from promptkit.assistants.replies import AssistantReply, ReplyStream
from promptkit.assistants.router import Routed, Router

__all__ = ["Assistant", "AssistantReply", "Chat", "Questions", "ReplyStream", "Routed", "Router", "Turn"]
