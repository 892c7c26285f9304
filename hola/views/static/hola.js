// Owns keeping the live page fresh: asks the service once a second, shows what changed, says when nobody answers.
import { putFacts, putList, putMeters, putNotices, putProblems, settle } from './page.js';
import { drawSparkline } from './sparkline.js';
import { Traffic, readScrape } from './traffic.js';
import * as words from './words.js';

const EVERY = 1000; // milliseconds between two looks
const SCRAPE_EVERY = 1900; // a scrape goes with every other look
const PATIENCE = 3000; // a reply later than this counts as no answer
const REFUSALS = [401, 403, 404]; // a page has no token and no other port: to ask again would only fill the logs

// Relative, so that the page also works behind a path prefix. An answer without its key is a problem document.
// What `counts` requests in flight is asked when this page's others are over; of what `fades` old figures never stay.
const FEEDS = {
  about: { url: './', key: 'service', lasts: true }, // the one that a fault may fall on, so what was known stays
  config: { url: 'config', key: 'document' },
  history: { url: 'config/history', key: 'transitions' },
  status: { url: 'config/status', key: 'workers', counts: true },
  metrics: { url: 'metrics', key: 'exits', accept: 'text/plain', counts: true, fades: true },
};

const state = { about: {}, status: {}, config: {}, history: {}, metrics: {} };
const problems = {};
const refused = new Set();
const traffic = new Traffic();
let lastAnswer = new Date(); // the page itself was the first answer
let lastScrape = 0;
let skew = 0; // milliseconds that the pod's clock is ahead of this browser's
let timer;

// ---- Asking

async function read(response, accept) {
  const moment = Date.parse(response.headers.get('Date'));
  if (moment) skew = moment + 500 - Date.now(); // the header's second is on average half over
  if (response.ok && accept) return readScrape(await response.text(), Date.now());
  return response.json(); // a gateway's HTML error throws here: the service did not answer
}

async function ask(name) {
  const { url, key, accept, lasts, fades } = FEEDS[name];
  const response = await fetch(url, {
    headers: { Accept: accept ?? 'application/json' },
    cache: 'no-store', // or the JSON of "/" could take the place of this page in the cache
    signal: AbortSignal.timeout(PATIENCE),
  });
  const body = await read(response, accept);
  const known = body !== null && key in body;
  if (known || !lasts) state[name] = known ? body : {};
  problems[name] = known ? '' : body?.detail ?? body?.title ?? `answered ${response.status}`;
  if (!known && fades) problems[name] = `Not shown: ${problems[name]}.`;
  if (!known && !lasts && REFUSALS.includes(response.status)) refused.add(name);
}

function forget(name) {
  state[name] = {};
  problems[name] = 'Not shown: no answer.';
}

function isDue(name) {
  if (refused.has(name)) return false;
  return name !== 'metrics' || Date.now() - lastScrape >= SCRAPE_EVERY;
}

async function look() {
  const due = Object.keys(FEEDS).filter(isDue);
  if (due.includes('metrics')) lastScrape = Date.now();
  const others = due.filter((name) => !FEEDS[name].counts);
  const counting = due.filter((name) => FEEDS[name].counts);
  const outcomes = await Promise.allSettled(others.map(ask));
  outcomes.push(...(await Promise.allSettled(counting.map(ask))));
  const answered = outcomes.some((outcome) => outcome.status === 'fulfilled');
  if (answered) lastAnswer = new Date();
  [...others, ...counting].filter((name, i) => FEEDS[name].fades && outcomes[i].status === 'rejected').forEach(forget);
  render(answered);
  if (answered) settle();
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden) return; // nobody is looking; visibilitychange starts again
  await look();
  clearTimeout(timer); // a second tick may have started while this one waited
  timer = setTimeout(tick, EVERY);
}

// ---- Showing

function faultsInForce(now) {
  const faults = state.config.document?.faults ?? [];
  return faults.filter(({ until }) => !until || now < Date.parse(until));
}

function renderFaults() {
  const now = Date.now() + skew;
  const faults = faultsInForce(now);
  problems.faults = faults.length ? '' : problems.config || 'None: this pod does not fail on purpose.';
  putNotices(words.notices(state.status, faults));
  putList('faults', faults.map((fault) => words.faultRow(fault, now, state.metrics.injected)));
}

function renderTraffic() {
  if (!state.metrics.exits || state.metrics.at === traffic.points.at(-1)?.at) return; // no scrape went with this look
  traffic.add(state.metrics);
  putFacts(words.trafficFacts(traffic.points));
  putList('exits', [...state.metrics.exits].map(words.exitRow));
  for (const curve of words.CURVES) {
    drawSparkline(document.querySelector(`[data-sparkline="${curve.name}"]`), traffic.points, curve);
  }
}

function renderDocument({ document: content, sources }) {
  const entries = Object.entries(content ?? {});
  putList('document', entries.map((entry, i) => words.documentRow(entry, i === entries.length - 1, sources)));
}

function render(answered) {
  putFacts(words.contact(state, answered, lastAnswer));
  putNotices({ gone: !answered });
  document.querySelector('[data-verdict]').dataset.verdict = answered ? words.verdict(state.status)[0] : 'gone';
  document.querySelector('[data-pulse]').dataset.pulse = answered ? 'live' : 'gone';
  document.querySelector('main').classList.toggle('stale', !answered);
  if (!answered) return; // what was last known stays on the page, marked as such
  const workers = state.status.workers ?? [];
  putFacts(words.facts(state));
  renderFaults();
  renderTraffic();
  putList('workers', workers.map((worker) => words.workerRow(worker, state.about)));
  putMeters(workers);
  renderDocument(state.config);
  putList('history', (state.history.transitions ?? []).map(words.transitionRow));
  putProblems(problems, (name) => FEEDS[name]?.key in (state[name] ?? {}));
}

document.addEventListener('visibilitychange', tick);
tick();
