// Owns the arithmetic of the traffic figures: the text of /metrics in, rates over a sliding window out. No page, no clock.

const WINDOW = 10_500; // milliseconds that a rate looks back: ten seconds, and half a look for a timer that is late
const BAD = /^5/; // an error is what the service answers for itself: 5xx
const SPARED = /^\/(livez|healthz|readyz|metrics|config|static)/; // no user's traffic, and never with a fault
const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export const HISTORY = 180_000; // milliseconds that are kept to be drawn

// ---- One scrape: what the page needs of it, at its time (milliseconds)

function* samples(text) {
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (!name) continue; // a comment, or nothing
    const pairs = [...labels.matchAll(LABEL)].map(([, key, content]) => [key, content]);
    yield { name, labels: Object.fromEntries(pairs), value: Number(value) };
  }
}

const FAMILIES = {
  http_requests_total: (scrape, { labels, value }) => scrape.requests.set(Object.values(labels).join(' '), { ...labels, value }),
  http_request_duration_seconds_bucket: (scrape, { labels, value }) => scrape.buckets.set(Object.values(labels).join(' '), { ...labels, value }),
  hola_worker_start_time_seconds: (scrape, { labels, value }) => scrape.born.set(labels.slot, value),
  hola_worker_exits_total: (scrape, { labels, value }) => scrape.exits.set(labels.reason, value),
  hola_faults_injected_total: (scrape, { labels, value }) => scrape.injected.set(labels.id, value),
};

export function readScrape(text, at) {
  const scrape = { at, requests: new Map(), buckets: new Map(), born: new Map(), exits: new Map(), injected: new Map() };
  for (const sample of samples(text)) {
    if (!SPARED.test(sample.labels.route ?? '')) FAMILIES[sample.name]?.(scrape, sample);
  }
  return scrape;
}

// ---- Two scrapes: how much each counter grew in between

const grown = (before, after) =>
  [...after].map(([series, counter]) => ({ ...counter, grown: counter.value - (before.get(series)?.value ?? 0) }));

const sum = (counters) => counters.reduce((total, counter) => total + counter.grown, 0);

// After a restart counters fall; another pod behind the same address may also have higher ones, but none of the workers.
function isAnotherLife(before, after) {
  const fell = [...before.requests].some(([series, { value }]) => !(after.requests.get(series)?.value >= value));
  const stayed = [...before.born].some(([slot, at]) => after.born.get(slot) === at);
  return fell || !stayed || after.at <= before.at;
}

// The q-quantile by linear interpolation in its bucket, as histogram_quantile() of Prometheus does it.
function quantile(q, counts) {
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  const rank = q * counts.get(Infinity);
  const index = bounds.findIndex((bound) => counts.get(bound) >= rank);
  const [low, below] = index > 0 ? [bounds[index - 1], counts.get(bounds[index - 1])] : [0, 0];
  if (bounds[index] === Infinity) return low; // it took longer than the last bound: how much longer is not known
  return low + (bounds[index] - low) * ((rank - below) / (counts.get(bounds[index]) - below));
}

function durations(before, after) {
  const counts = new Map();
  for (const { le, grown: number } of grown(before.buckets, after.buckets)) {
    const bound = Number(le.replace('+Inf', 'Infinity'));
    counts.set(bound, (counts.get(bound) ?? 0) + number);
  }
  return counts;
}

function figures(before, after) {
  const requests = grown(before.requests, after.requests);
  const counts = durations(before, after);
  const total = sum(requests);
  const failed = sum(requests.filter(({ status }) => BAD.test(status)));
  const point = { at: after.at, total, failed, rate: (total * 1000) / (after.at - before.at) };
  if (!total || !counts.get(Infinity)) return point; // without requests there is no ratio and no duration
  return { ...point, errors: failed / total, latency: quantile(0.95, counts), median: quantile(0.5, counts) };
}

// ---- All scrapes of the last minutes

export class Traffic {
  points = []; // what is drawn, oldest first; one without figures is a gap
  #scrapes = []; // those of the window, all of one life

  add(scrape) {
    const last = this.#scrapes.at(-1);
    const window = last && !isAnotherLife(last, scrape) ? this.#scrapes : [];
    this.#scrapes = [...window.filter(({ at }) => scrape.at - at <= WINDOW), scrape];
    const [first] = this.#scrapes;
    this.points = this.points.filter(({ at }) => at < scrape.at && scrape.at - at <= HISTORY);
    this.points.push(first === scrape ? { at: scrape.at } : figures(first, scrape));
  }
}
