// What the page asks of its server. Errors are `Failed`, with the server's own words.

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem("token") ?? "",
  set: (value) => sessionStorage.setItem("token", value),
};

async function call(path, options = {}) {
  const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}) };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(0, "The server does not answer. It may be restarting: try again in a moment.");
  }
  if (response.ok) return response;
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // not one of our errors: a proxy's page, say
  }
  throw new Failed(response.status, message);
}

export const models = async () => (await (await call("/v1/models")).json()).data;

export const passage = async (id) => (await call(`/v1/passages/${encodeURIComponent(id)}`)).json();

export const feedback = async (body) =>
  (await call("/v1/feedback", { method: "POST", body: JSON.stringify(body) })).json();

// Calls `said` with each piece of text; returns the answer that holds, once it is on the server's disk.
export async function ask(question, model, said, signal) {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: "user", content: question }] });
  const response = await call("/v1/chat/completions", { method: "POST", body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      break;
    }
    if (piece.done) break;
    held += piece.value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") continue;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Failed(503, chunk.error.message);
      if (chunk.twohands) return chunk.twohands;
      said(chunk.choices[0].delta.content ?? "");
    }
  }
  throw new Failed(0, "The connection broke before the answer was complete. Ask again.");
}
