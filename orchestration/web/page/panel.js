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

// The passage's text without its heading, which stands above; the sentence that the answer rests on is marked.
function marked(text, sentence) {
  const start = sentence ? text.indexOf(sentence) : -1;
  if (start < 0) {
    $("panel-text").replaceChildren(text);
    return;
  }
  const mark = document.createElement("mark");
  mark.textContent = sentence;
  $("panel-text").replaceChildren(text.slice(0, start), mark, text.slice(start + sentence.length));
}

function body(passage) {
  const head = passage.heading ? `${passage.heading}\n` : "";
  return head && passage.text.startsWith(head) ? passage.text.slice(head.length).trimStart() : passage.text;
}

function note(words) {
  $("panel-note").hidden = !words;
  $("panel-note").textContent = words;
}

export async function openPassage(passage, evidence, from) {
  opener = from;
  $("panel-title").textContent = passage.title || passage.doc_id;
  facts([["Document", passage.doc_id], ["Section", passage.heading]]);
  marked(body(passage), evidence);
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
