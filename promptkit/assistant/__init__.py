"""A fitted predictor that talks: glossary, tone, conversation, typed answers, and the choice among several."""

from promptkit.assistant.assistant import Assistant
from promptkit.assistant.chat import Chat, Turn
from promptkit.assistant.questions import Questions
from promptkit.assistant.replies import AssistantReply, ReplyStream
from promptkit.assistant.router import Routed, Router

__all__ = ["Assistant", "AssistantReply", "Chat", "Questions", "ReplyStream", "Routed", "Router", "Turn"]
