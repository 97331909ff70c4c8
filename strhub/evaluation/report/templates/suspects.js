const list = document.getElementById("list"), show = document.getElementById("show");
const store = "strhub-corrections " + data.words.length + (data.words[0] ? data.words[0].as_stored.source : "");
let decisions = {};
try { decisions = JSON.parse(localStorage.getItem(store)) || {}; } catch { decisions = {}; }

const escaped = (text) => text.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n").replaceAll("\r", "\\r");

function corrections() {
  const rows = [["source", "image", "label", "correction", "action"]];
  for (const word of data.words) {
    const chosen = decisions[word.key];
    if (!chosen || chosen.action === "keep") continue;
    const { source, image, label } = word.as_stored;
    rows.push([source, image, label, chosen.action === "remove" ? "" : chosen.text, chosen.action]);
  }
  return rows.map((row) => row.map(escaped).join("\t") + "\n").join("");
}

function decide(word, card, action, text) {
  if (action === "correct" && (!text || text === word.as_stored.label)) action = "keep";
  decisions[word.key] = { action, text };
  try { localStorage.setItem(store, JSON.stringify(decisions)); } catch { /* a browser that keeps nothing */ }
  mark(word, card);
  count();
}

function mark(word, card) {
  const chosen = decisions[word.key];
  for (const button of card.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Boolean(chosen) && chosen.action === button.dataset.action));
    button.style.fontWeight = chosen && chosen.action === button.dataset.action ? "700" : "400";
  }
  card.style.borderColor = chosen ? "var(--accent)" : "";
}

function count() {
  const decided = data.words.filter((word) => decisions[word.key]).length;
  const changed = corrections().split("\n").length - 2;
  document.getElementById("count").textContent = decided + " of " + data.words.length + " decided, " + changed + " corrections";
}

function cardOf(word) {
  const card = figureOf(word), reading = word.readings[0];
  card.tabIndex = 0;
  const input = element("input");
  input.value = decisions[word.key] && decisions[word.key].action === "correct" ? decisions[word.key].text : reading.raw_text;
  input.setAttribute("aria-label", "correct label");
  const row = element("div", "filters");
  const button = (action, title) => {
    const made = element("button", "", title);
    made.type = "button";
    made.dataset.action = action;
    made.addEventListener("click", () => decide(word, card, action, input.value));
    row.append(made);
  };
  button("keep", "keep");
  button("correct", "correct");
  button("remove", "remove");
  input.addEventListener("change", () => decide(word, card, "correct", input.value));
  card.append(element("div", "dim", "as stored: " + word.stored_label), input, row);
  card.addEventListener("keydown", (event) => {
    if (event.target === input) return;
    const action = { k: "keep", r: "correct", x: "remove" }[event.key];
    if (action) decide(word, card, action, input.value);
    if ((action || event.key === "j") && card.nextElementSibling) card.nextElementSibling.focus();
  });
  mark(word, card);
  return card;
}

function draw() {
  list.replaceChildren(...data.words.filter((word) =>
    !show.value || (show.value === "open") === !decisions[word.key]).map(cardOf));
  count();
}

document.getElementById("download").addEventListener("click", () => {
  const link = element("a");
  link.download = "corrections.tsv";
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/tab-separated-values" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
show.addEventListener("change", draw);
draw();
