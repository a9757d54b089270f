"""The ask page, the OpenAI-compatible API, and the journal of what was asked, answered and said of it."""
