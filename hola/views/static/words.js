// Owns the words: from the service's answers to what the page calls its facts, notices and rows, as the template has them.

const ORIGINS = { source: 'the source', last_known_good: 'last known good' };
const UNITS = { ms: 'ms', seconds: 's', mib: 'MiB', bytes: 'bytes', lines: 'lines' };
const COMMON = ['id', 'route', 'percent', 'until']; // what each fault has, whatever it does
const LAST_BOUND = 10; // seconds: the histogram does not see beyond

// ---- Times, sizes and sentences

export const show = (value) => (value === undefined || value === null || value === '' ? '–' : String(value));
export const stamp = (at) => (at ? at.slice(0, 19).replace('T', ' ') : '–');
const clock = (date) => date.toISOString().slice(11, 19);
const seconds = (value, digits) => (typeof value === 'number' ? `${value.toFixed(digits)} s` : '–');
const mebibytes = (bytes) => (bytes ? `${(bytes / 1048576).toFixed(1)} MiB` : '–');
const reason = (error) => `${error.path || '/'}: ${show(error.message)}${error.code ? ` (${error.code})` : ''}`;
const number = (value) => (Number.isInteger(value) ? value : Number(value.toPrecision(6)));
const total = (workers, key) => (workers ?? []).reduce((all, worker) => all + worker[key], 0);

const rate = (value) => value.toFixed(value < 100 ? 1 : 0);
const percentage = (ratio) => `${(ratio * 100).toFixed(ratio && ratio < 0.1 ? 1 : 0)} %`;
function duration(value) {
  if (value >= LAST_BOUND) return `over ${LAST_BOUND} s`;
  if (value >= 1) return seconds(value, 2);
  return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
}

export function timeLeft(milliseconds) {
  const whole = Math.max(0, Math.ceil(milliseconds / 1000));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h left`;
  if (hours) return `${hours} h ${minutes} min left`;
  return minutes ? `${minutes} min ${whole % 60} s left` : `${whole} s left`;
}

export function verdict({ ready, draining, workers }) {
  if (!workers) return ['unknown', 'State unknown.'];
  if (ready) return ['ready', 'Ready.'];
  return draining ? ['draining', 'Draining.'] : ['waiting', 'Not ready.'];
}

function tally({ workers, generation }) {
  if (!workers) return '';
  if (!generation) return `${workers.length} workers, no document.`;
  const current = workers.filter((worker) => worker.current).length;
  return `${current} of ${workers.length} workers hold generation ${generation}.`;
}

function standing(worker) {
  if (worker.current) return 'current';
  return worker.generation ? 'behind' : 'none yet';
}

// ---- Facts and notices

export function contact({ status }, answered, lastAnswer) {
  const updated = `updated ${clock(lastAnswer)} UTC`;
  if (answered) return { verdict: verdict(status)[1], tally: tally(status), pulse: 'Live, ', updated };
  return {
    verdict: 'No answer.',
    tally: 'Trying again.',
    pulse: 'No answer, last ',
    updated,
    since: clock(lastAnswer), // in a live region, so it is only written when it is needed
    farewell: status.draining ? 'It was draining, so this may well be its end.' : '',
  };
}

export function facts({ about, status }) {
  const source = status.source ?? {};
  const rejection = status.rejection ?? {};
  return {
    ...about,
    greeting: about.greeting || 'No greeting yet',
    revision: status.revision,
    generation: status.generation,
    origin: ORIGINS[status.origin],
    appliedAt: status.applied_at,
    sourceState: source.up === undefined ? undefined : source.up ? 'up' : 'down',
    sourceAge: typeof source.age_seconds === 'number' ? `read ${seconds(source.age_seconds, 1)} ago` : 'never read',
    rejectedRevision: rejection.revision,
    heldRevision: status.held,
    rejectedAt: rejection.at,
    rejectedFor: (rejection.errors ?? []).map(reason),
    inFlight: total(status.workers, 'threads_busy'),
    stillOpen: total(status.workers, 'connections'),
  };
}

export function notices({ ready, draining, revision, workers, source, rejection, held, restart_required }, faults) {
  const waiting = Boolean(workers) && !ready && !draining;
  return {
    draining: Boolean(draining),
    empty: waiting && !revision,
    unready: waiting && Boolean(revision),
    lost: source?.up === false && Boolean(revision),
    faults: faults.length > 0,
    rejected: Boolean(rejection),
    held: Boolean(held),
    restart: Boolean(restart_required),
  };
}

// ---- Traffic: the newest figures, and how each is drawn

export const CURVES = [
  { name: 'rate', least: 1, write: (value) => `${rate(value)} a second` },
  { name: 'errors', least: 0.01, write: percentage },
  { name: 'latency', least: 0.01, write: duration },
];

export function trafficFacts(points) {
  const { total: answered, failed, rate: now, errors, latency, median } = points.at(-1) ?? {};
  const values = {
    rate: now === undefined ? undefined : rate(now),
    rateNote: now === undefined ? '' : 'a second',
    errors: errors === undefined ? undefined : percentage(errors),
    errorsNote: answered === undefined ? '' : `${failed} of ${answered} requests`,
    latency: latency === undefined ? undefined : duration(latency),
    latencyNote: median === undefined ? '' : `median ${duration(median)}`,
  };
  for (const { name, write } of CURVES) {
    const known = points.map((point) => point[name]).filter((value) => value !== undefined);
    values[`${name}Peak`] = known.length ? `peak ${write(Math.max(...known))}` : '';
  }
  return values;
}

// ---- Rows

export function workerRow(worker, about) {
  return {
    key: worker.slot,
    flags: { state: worker.state, current: worker.current, answered: worker.slot === about.slot },
    slot: worker.slot,
    pid: worker.pid,
    state: worker.state,
    threads: `${show(worker.threads_busy)} of ${show(worker.threads)}`,
    connections: worker.connections,
    memory: mebibytes(worker.resident_memory_bytes),
    cpu: seconds(worker.cpu_seconds, 2),
    revision: worker.revision,
    generation: worker.generation,
    standing: standing(worker),
  };
}

export const exitRow = ([why, count]) => ({ key: why, flags: { seen: count > 0 }, reason: why, count });

/** "delay 300 ms" of delay_ms and 300, whatever kinds of faults there are; '' of what has no effect. */
function effect([key, value]) {
  if (!value || COMMON.includes(key)) return '';
  const words = key.split('_');
  const unit = words.length > 1 ? UNITS[words.at(-1)] : undefined;
  const name = (unit ? words.slice(0, -1) : words).join(' ');
  const text = typeof value === 'object' ? JSON.stringify(value) : typeof value === 'number' ? number(value) : value;
  return [name, value === true ? '' : text, unit].filter(Boolean).join(' ');
}

export function faultRow(fault, now, injected) {
  return {
    key: fault.id,
    id: fault.id,
    route: fault.route,
    share: `${number(fault.percent)} %`,
    effect: Object.entries(fault).map(effect).filter(Boolean).join(', ') || 'none',
    until: fault.until,
    left: fault.until ? timeLeft(Date.parse(fault.until) - now) : 'with the document',
    injected: injected && (injected.get(fault.id) ?? 0),
  };
}

export function documentRow([key, value], isLast, sources) {
  const text = JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');
  return { key, line: `  "${key}": ${text}${isLast ? '' : ','}`, source: sources?.[key] ?? '' };
}

export function transitionRow(transition) {
  const { at, event, revision, previous, generation, changed, errors, meta } = transition;
  const lineage = [generation && `generation ${generation}`, previous && `was ${previous}`];
  return {
    key: `${at} ${event}`,
    flags: { event },
    at,
    event,
    revision: revision ?? '',
    lineage: lineage.filter(Boolean).join(', '),
    changed: (changed ?? []).join('  '),
    meta: [meta?.author, meta?.change].filter(Boolean).join(', '),
    errors: (errors ?? []).map(reason),
  };
}
