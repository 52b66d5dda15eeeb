"""From a task, demonstrations and a question to the exact text or messages that a model reads."""

from promptkit.prompts.lint import lint
from promptkit.prompts.render import render, render_answer

__all__ = ["lint", "render", "render_answer"]
