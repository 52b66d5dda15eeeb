"""The backend that asks an OpenAI-compatible server over HTTP."""
