"""What stays fixed while strategies are compared: a task, its folder, its templates and its prompts."""

from promptkit.tasks.create import new_task
from promptkit.tasks.lint import lint
from promptkit.tasks.loading import list_tasks
from promptkit.tasks.prompt import render, render_answer
from promptkit.tasks.task import Task, build_task, load_task

__all__ = ["Task", "build_task", "lint", "list_tasks", "load_task", "new_task", "render", "render_answer"]
