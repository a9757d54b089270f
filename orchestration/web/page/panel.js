// The side panel: a passage with its document, date and version. Esc closes it and gives the focus back.

import * as api from "/page/api.js";

const $ = (id) => document.getElementById(id);
let opener = null;

function facts(rows) {
  const made = [];
  for (const [name, value] of rows) {
    if (!value) continue;
    const term = document.createElement("dt");
    const held = document.createElement("dd");
    term.textContent = name;
    held.textContent = value;
    made.push(term, held);
  }
  $("panel-facts").replaceChildren(...made);
}

// The passage's text with the sentences that the answer rests on marked.
function marked(text, sentences) {
  const spans = sentences
    .map((one) => [text.indexOf(one), one.length])
    .filter(([start]) => start >= 0)
    .sort((one, two) => one[0] - two[0]);
  const parts = [];
  let place = 0;
  for (const [start, length] of spans) {
    if (start < place) continue;
    const mark = document.createElement("mark");
    mark.textContent = text.slice(start, start + length);
    parts.push(document.createTextNode(text.slice(place, start)), mark);
    place = start + length;
  }
  parts.push(document.createTextNode(text.slice(place)));
  $("panel-text").replaceChildren(...parts);
}

function note(words) {
  $("panel-note").hidden = !words;
  $("panel-note").textContent = words;
}

export async function openPassage(passage, evidence, from) {
  opener = from;
  $("panel-title").textContent = passage.title || passage.doc_id;
  facts([["Document", passage.doc_id], ["Section", passage.heading]]);
  marked(passage.text, evidence);
  note("");
  $("panel").hidden = false;
  $("panel").focus();
  try {
    const found = await api.passage(passage.chunk_id);
    if (opener !== from) return;
    facts([
      ["Document", found.doc_id],
      ["Section", passage.heading],
      ["Date", found.date],
      ["Version", found.version],
      ["Index", found.index],
    ]);
  } catch (error) {
    if (opener !== from) return;
    note(
      error.status === 404
        ? "This is the passage as the answer saw it. It has been changed or taken away since."
        : `Its date and version could not be read: ${error.message}`,
    );
  }
}

function close() {
  $("panel").hidden = true;
  opener?.focus();
  opener = null;
}

$("panel-close").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("panel").hidden) close();
});
