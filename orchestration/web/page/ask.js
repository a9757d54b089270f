// The ask page. Whatever comes from documents, answers or people is put in as text, never as HTML.

import * as api from "/page/api.js";
import { openPassage } from "/page/panel.js";

const $ = (id) => document.getElementById(id);
const KEPT = 20;

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(className, text, act, label) {
  const made = make("button", className, text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

const THUMB = "M7 10v10H3V10zM7 11l4-8c1.6 0 2.5 1 2.2 2.8L12.5 9H19a2 2 0 0 1 2 2.4l-1.3 6.9A2 2 0 0 1 17.7 20H7";

function thumbSign(down) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("viewBox", "0 0 24 24");
  made.setAttribute("aria-hidden", "true");
  made.setAttribute("class", down ? "sign down" : "sign");
  path.setAttribute("d", THUMB);
  made.append(path);
  return made;
}

function problem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? error.message : "";
  if (error?.status === 401) {
    $("token-form").hidden = false;
    $("token").focus();
  }
}

function footer(stamp, release) {
  const facts = stamp
    ? [["Release", stamp.release], ["Index", stamp.index], ["Adapter", stamp.adapter || "none"]]
    : [["Release", release]];
  $("release").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => make("span", "", `${name} ${value}`)));
}

// ---------------------------------------------------------------------------------------------- what is remembered

let exchanges = [];
try {
  exchanges = JSON.parse(sessionStorage.getItem("exchanges") ?? "[]");
} catch {
  // a former version's
}

function remember() {
  exchanges = exchanges.slice(-KEPT);
  try {
    sessionStorage.setItem("exchanges", JSON.stringify(exchanges));
  } catch {
    // full: the page works without
  }
}

// ---------------------------------------------------------------------------------------------- one answer

// The best sentence of a passage: what the panel marks.
function rests(exchange, number) {
  return exchange.told.evidence.find((one) => one.n === number)?.sentence ?? "";
}

function cite(exchange, number) {
  const passage = exchange.told.passages.find((one) => one.n === number);
  const made = button("cite", String(number), () => openPassage(passage, rests(exchange, number), made), `Source ${number}: ${passage.title || passage.doc_id}`);
  return made;
}

function answerText(exchange) {
  const text = exchange.told.answer;
  const cited = new Set(exchange.told.citations.map((one) => one.n));
  const parts = text.split(/(\[\s*\d+(?:\s*[,;]\s*\d+)*\s*\])/).flatMap((part) => {
    const numbers = part.startsWith("[") ? [...new Set((part.match(/\d+/g) ?? []).map(Number))] : [];
    if (!numbers.length || !numbers.every((number) => cited.has(number))) return [document.createTextNode(part)];
    return numbers.flatMap((number, at) => [...(at ? [document.createTextNode(" ")] : []), cite(exchange, number)]);
  });
  const made = make("div", "answer");
  made.dir = "auto";
  made.append(...parts);
  return made;
}

function sourceList(exchange, passages) {
  const made = make("ul", "sources");
  for (const passage of passages) {
    const title = passage.title || passage.doc_id;
    const section = passage.heading.startsWith(title) ? passage.heading.slice(title.length).replace(/^ > /, "") : passage.heading;
    const name = section ? `${title} · ${section}` : title;
    const link = button("link", `${passage.n}. ${name}`, () => openPassage(passage, rests(exchange, passage.n), link));
    const item = make("li");
    item.append(link);
    made.append(item);
  }
  return made;
}

function sources(exchange) {
  const cited = new Set(exchange.told.citations.map((one) => one.n));
  const named = exchange.told.passages.filter((one) => cited.has(one.n));
  const others = exchange.told.passages.filter((one) => !cited.has(one.n));
  const found = named.length ? [sourceList(exchange, named)] : [];
  if (others.length) {
    const more = make("details");
    more.append(make("summary", "", `${others.length} more ${others.length === 1 ? "passage was" : "passages were"} shown to the model`));
    more.append(sourceList(exchange, others));
    found.push(more);
  }
  return found;
}

function tools(exchange, article) {
  const made = make("div", "tools");
  const note = make("span", "note");
  note.setAttribute("role", "status");
  const send = async (change, words) => {
    try {
      const told = await api.feedback({ id: exchange.told.interaction_id, ...change });
      exchange.feedback = told.feedback;
      exchange.correction = told.corrected_response;
      note.textContent = words;
      problem(null);
      remember();
      return true;
    } catch (error) {
      problem(error);
      return false;
    }
  };
  const thumbs = [["up", "Good answer"], ["down", "Bad answer"]].map(([value, label]) => {
    const thumb = button("quiet", "", async () => {
      const wanted = exchange.feedback === value ? "none" : value;
      if (await send({ feedback: wanted }, wanted === "none" ? "Taken back" : "Thank you")) press();
    }, label);
    thumb.append(thumbSign(value === "down"));
    return [value, thumb];
  });
  const press = () => thumbs.forEach(([value, thumb]) => thumb.setAttribute("aria-pressed", String(exchange.feedback === value)));
  press();
  const edit = button("quiet", "Edit the answer", () => editor(exchange, article, edit, send));
  made.append(...thumbs.map(([, thumb]) => thumb), edit, note);
  return made;
}

function editor(exchange, article, opener, send) {
  if (article.querySelector("form")) return;
  const form = make("form");
  const label = make("label", "", "The answer as it should be");
  const area = make("textarea");
  area.rows = 4;
  area.value = exchange.correction ?? exchange.told.answer;
  area.dir = "auto";
  label.append(area);
  const close = () => {
    form.remove();
    opener.focus();
  };
  const save = make("button", "", "Save");
  const row = make("div", "row");
  row.append(make("small", "", "It is kept as a correction; the documents stay as they are."), button("quiet", "Cancel", close), save);
  form.append(label, row);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    if (await send({ corrected_response: area.value }, "Correction saved")) {
      showCorrection(exchange, article);
      close();
    }
    save.disabled = false;
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  article.append(form);
  area.focus();
}

function showCorrection(exchange, article) {
  article.querySelector(".correction")?.remove();
  if (exchange.correction === null || exchange.correction === undefined) return;
  const made = make("div", "correction", exchange.correction);
  made.dir = "auto";
  made.setAttribute("aria-label", "Corrected answer");
  made.setAttribute("role", "note");
  article.querySelector(".tools").before(made);
}

function show(exchange, article = make("article")) {
  const question = make("h2", "", exchange.question);
  question.dir = "auto";
  const parts = [question];
  if (exchange.told.refused) parts.push(make("span", "badge", "The documents do not answer this"));
  else if (exchange.told.fallback) parts.push(make("span", "badge", "The best sentence found, in place of an answer"));
  article.replaceChildren(...parts, answerText(exchange), ...sources(exchange), tools(exchange, article));
  showCorrection(exchange, article);
  footer(exchange.told.stamp);
  return article;
}

// ---------------------------------------------------------------------------------------------- asking

let asking = null;

async function ask(question) {
  asking = new AbortController();
  problem(null);
  $("ask").disabled = true;
  $("stop").hidden = false;
  $("status").textContent = "Answering";
  const article = make("article");
  const draft = make("div", "answer", "");
  const heading = make("h2", "", question);
  heading.dir = draft.dir = "auto";
  draft.setAttribute("aria-busy", "true");
  article.append(heading, draft);
  $("answers").prepend(article);
  try {
    const told = await api.ask(question, $("variant").value || "main", (piece) => draft.append(piece), asking.signal);
    const exchange = { question, told, feedback: "none", correction: null };
    exchanges.push(exchange);
    remember();
    show(exchange, article);
    $("status").textContent = `Answer: ${told.answer}`;
    $("question").value = "";
  } catch (error) {
    article.remove();
    $("status").textContent = "";
    if (error.name !== "AbortError") problem(error);
  } finally {
    asking = null;
    $("ask").disabled = false;
    $("stop").hidden = true;
  }
}

$("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (question && !asking) ask(question);
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask-form").requestSubmit();
  }
});
$("stop").addEventListener("click", () => asking?.abort());

async function start() {
  try {
    const found = await api.models();
    $("variant").replaceChildren(...found.map((one) => new Option(one.id, one.id)));
    const kept = sessionStorage.getItem("variant");
    if (found.some((one) => one.id === kept)) $("variant").value = kept;
    $("variant-label").hidden = found.length < 2;
    const released = () => footer(null, found.find((one) => one.id === $("variant").value)?.release);
    $("variant").onchange = () => {
      sessionStorage.setItem("variant", $("variant").value);
      released();
    };
    if (!exchanges.length) released();
    problem(null);
    $("token-form").hidden = true;
  } catch (error) {
    problem(error);
  }
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token.set($("token").value.trim());
  $("token").value = "";
  start();
});

for (const exchange of exchanges) $("answers").prepend(show(exchange));
start();
