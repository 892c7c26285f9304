// Owns the small curves: one figure over the last minutes as three paths of an SVG, and the same in words.
import { HISTORY } from './traffic.js';

const WIDTH = 180; // the viewBox, as the template has it
const HEIGHT = 40;

const pair = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const curve = (run) => `M${run.map(pair).join('L')}${run.length > 1 ? '' : 'h0'}`; // of no length: its round cap is a dot
const area = (run) => `M${run[0].x.toFixed(1)} ${HEIGHT}L${run.map(pair).join('L')}V${HEIGHT}Z`;

function place(points, name, top) {
  const now = points.at(-1)?.at;
  return points.map(({ at, [name]: value }) => ({
    x: WIDTH * (1 - (now - at) / HISTORY),
    y: HEIGHT * (1 - value / top),
    isGap: value === undefined,
  }));
}

// Where a point has no figure one run ends: what is not known is not drawn.
function runs(spots) {
  const found = [[]];
  for (const spot of spots) {
    if (spot.isGap) found.push([]);
    else found.at(-1).push(spot);
  }
  return found.filter((run) => run.length);
}

function describe(label, values, write) {
  if (!values.length) return `${label}: nothing to draw yet`;
  const range = `between ${write(Math.min(...values))} and ${write(Math.max(...values))}`;
  return `${label} in the last 3 minutes: ${range}, at the end ${write(values.at(-1))}`;
}

/** Draw the figure `name` of `points` into `svg`; the scale ends at its peak, but not below `least`. */
export function drawSparkline(svg, points, { name, least, write }) {
  const values = points.map((point) => point[name]).filter((value) => value !== undefined);
  const spots = place(points, name, Math.max(least, ...values));
  const found = runs(spots);
  const last = spots.at(-1);
  svg.querySelector('.area').setAttribute('d', found.map(area).join(''));
  svg.querySelector('.line').setAttribute('d', found.map(curve).join(''));
  svg.querySelector('.now').setAttribute('d', last && !last.isGap ? curve([last]) : '');
  svg.setAttribute('aria-label', describe(svg.dataset.label, values, write));
}
