// Owns putting it on the page: textContent only, and only where the text differs.
import { show, stamp } from './words.js';

const GLOW = 1800; // how long a change stays marked

let settled = false; // the first look only confirms what the server rendered, so it marks nothing

export function settle() {
  settled = true;
}

function mark(element) {
  if (!settled) return;
  element.classList.add('changed');
  setTimeout(() => element.classList.remove('changed'), GLOW);
}

function putLines(list, lines) {
  const items = lines.map((line) => {
    const item = document.createElement('li');
    item.textContent = line;
    return item;
  });
  list.replaceChildren(...items);
}

function wording(element, value) {
  if (Array.isArray(value)) return value.join('');
  if (element.tagName === 'TIME') return stamp(value);
  return value === '' ? '' : show(value); // '' is "nothing to say", a missing value is a dash
}

function put(element, value) {
  if (element.tagName === 'TIME') element.dateTime = value ?? '';
  const text = wording(element, value);
  if (element.textContent === text) return;
  if (Array.isArray(value)) putLines(element, value);
  else element.textContent = text;
  if ('watch' in element.dataset) mark(element.closest('[data-key]') ?? element);
}

export function putMeters(workers) {
  document.querySelectorAll('.workers meter').forEach((meter, i) => {
    meter.max = workers[i].threads || 1; // before the value, which it would clip
    meter.value = workers[i].threads_busy ?? 0;
  });
}

function putRow(list, row) {
  const key = String(row.key);
  let element = [...list.children].find((child) => child.dataset.key === key);
  const isNew = !element;
  element ??= document.getElementById(list.dataset.template).content.firstElementChild.cloneNode(true);
  Object.assign(element.dataset, row.flags, { key });
  for (const cell of element.querySelectorAll('[data-cell]')) put(cell, row[cell.dataset.cell]);
  if (isNew) mark(element);
  return element;
}

export function putList(name, rows) {
  const list = document.querySelector(`[data-list="${name}"]`);
  const elements = rows.map((row) => putRow(list, row));
  const same = elements.length === list.children.length && elements.every((element, i) => element === list.children[i]);
  if (!same) list.replaceChildren(...elements); // else leave the nodes alone: a selection or the focus may be in them
}

/** Each sentence of `problems`, in the place of the body that it is about; beside it if `isKnown` says so. */
export function putProblems(problems, isKnown) {
  for (const sentence of document.querySelectorAll('[data-problem]')) {
    put(sentence, problems[sentence.dataset.problem] ?? '');
    sentence.hidden = !sentence.textContent;
  }
  for (const body of document.querySelectorAll('[data-body]')) {
    body.hidden = Boolean(problems[body.dataset.body]) && !isKnown(body.dataset.body);
  }
}

export function putFacts(values) {
  for (const [name, value] of Object.entries(values)) {
    for (const element of document.querySelectorAll(`[data-fact="${name}"]`)) put(element, value);
  }
}

export function putNotices(shown) {
  for (const [name, needed] of Object.entries(shown)) {
    document.querySelector(`[data-notice="${name}"]`).hidden = !needed;
  }
}
