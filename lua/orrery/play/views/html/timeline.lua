-- The script of the HTML report, its second half: timelines of hosts, controls, the first drawing.
return [==[
const SVG = 'http://www.w3.org/2000/svg';
function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
}

// Round marks of time, six or so.
function ticks(span, most) {
  const units = [50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1.5e4, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5];
  const unit = units.find(u => span / u <= most) || 864e5;
  const out = [];
  for (let t = 0; t <= span; t += unit) out.push(t);
  return out;
}
function mark(ms) {
  if (ms === 0) return '0';
  if (ms < 1000) return ms + ' ms';
  const s = ms / 1000;
  if (s < 60) return s + ' s';
  const rest = s % 60, m = Math.floor(s / 60);
  if (m < 60) return m + ':' + String(rest).padStart(2, '0');
  return Math.floor(m / 60) + ':' + String(m % 60).padStart(2, '0') + ' h';
}

const WIDE = 1000, HIGH = 16;
// One path a status, so that a hundred steps are a handful of nodes. What failed is drawn last, and higher.
function track(runs, span, marks) {
  const node = svg('svg', { viewBox: '0 0 ' + WIDE + ' ' + HIGH, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  node.append(svg('rect', { class: 'track', x: 0, y: 7, width: WIDE, height: 2 }));
  for (const t of marks.slice(1)) {
    const x = (WIDE * t / span).toFixed(1);
    node.append(svg('path', { class: 'grid', d: 'M' + x + ' 0V' + HIGH }));
  }
  const paths = {};
  for (const r of runs) {
    const x = WIDE * r.from / span, w = Math.max(BAD[r.status] ? 5 : 1.2, WIDE * r.long / span - 0.6);
    const [y, h] = BAD[r.status] ? [0, 16] : [3, 10];
    const at = Math.max(0, Math.min(WIDE - w, x));
    paths[r.status] = (paths[r.status] || '') + 'M' + at.toFixed(1) + ' ' + y + 'h' + w.toFixed(1) + 'v' + h +
      'h-' + w.toFixed(1) + 'z';
  }
  for (const status of [...D.statuses].reverse()) if (paths[status]) {
    const path = svg('path', { d: paths[status] });
    path.style.fill = 'var(--' + status + ')';
    node.append(path);
  }
  return node;
}

function said(message) {
  return el('tr', '', el('td', 'says', message.level === 'warning' ? 'warning' : 'says'),
    el('td', 'says', text(message.text)), el('td', 'time'));
}
function hostTable(runs, ends) {
  const body = el('tbody'), host = (runs[0] || ends[0]).host;
  const words = D.messages.filter(m => m.host === host);
  for (const r of runs) {
    while (words.length && words[0].at < r.from) body.append(said(words.shift()));
    const step = D.steps[r.step - 1], cell = el('td', '', (step.handler ? 'handler ' : '') + step.name);
    if (r.msg && !r.err) cell.append(el('div', 'msg', text(r.msg)));
    cell.append(...details(r));
    const status = el('td', 'status', r.status);
    status.style.color = 'var(--' + r.status + '-ink)';
    body.append(el('tr', '', status, cell, el('td', 'time', duration(r.long))));
  }
  body.append(...words.map(said));
  for (const e of ends) {
    const status = el('td', 'status', e.status);
    status.style.color = 'var(--' + e.status + '-ink)';
    body.append(el('tr', '', status, el('td', '', ...details(e)), el('td', 'time', duration(e.at))));
  }
  return el('div', 'body', el('table', '', body));
}

function hostRow(h, span, marks) {
  const ends = h.ends.map(e => ({ status: e.status, from: e.at, long: 0 }));
  const drawn = h.runs.filter(r => !D.steps[r.step - 1].whole).concat(ends);
  const graph = el('span', 'graph', track(drawn, span, marks));
  const button = el('button', '', el('span', 'name', D.hosts[h.host - 1]), graph,
    el('span', 'time', duration(h.long)));
  const counts = byStatus(h.runs).map(c => c[1] + ' ' + c[0]).join(', ');
  button.setAttribute('aria-label', D.hosts[h.host - 1] + ': ' + counts);
  graph.onmousemove = event => tip(event, graph, h, span);
  graph.onmouseleave = () => { $('tip').hidden = true; };
  return opener(el('div', 'row' + (h.bad ? ' bad' : ''), button), () => hostTable(h.runs, h.ends));
}

function tip(event, graph, h, span) {
  const box = graph.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * span;
  const near = span * 4 / box.width;
  let best = null;
  for (const r of h.runs) {
    if (D.steps[r.step - 1].whole) continue;
    const off = at < r.from ? r.from - at : Math.max(0, at - r.from - r.long);
    if (off <= near && (!best || off < best.off)) best = { r, off };
  }
  const node = $('tip');
  node.hidden = !best;
  if (!best) return;
  const { r } = best;
  node.replaceChildren(el('div', '', D.steps[r.step - 1].name),
    el('div', '', word(r.status), el('span', 'tag', duration(r.long) + ', after ' + duration(r.from))));
  const x = Math.min(event.clientX + 14, innerWidth - node.offsetWidth - 8);
  const y = event.clientY + 18 + node.offsetHeight > innerHeight ? event.clientY - node.offsetHeight - 12 :
    event.clientY + 18;
  node.style.left = Math.max(8, x) + 'px';
  node.style.top = y + 'px';
}

const ORDERS = {
  order: (a, b) => a.host - b.host,
  bad: (a, b) => b.bad - a.bad || a.host - b.host,
  slow: (a, b) => b.long - a.long,
  name: (a, b) => D.hosts[a.host - 1].localeCompare(D.hosts[b.host - 1], 'en', { numeric: true }),
};
function hostsShown() {
  const by = new Map();
  const of = number => {
    if (!by.has(number)) by.set(number, { host: number, runs: [], ends: [], bad: 0, long: 0 });
    return by.get(number);
  };
  for (const r of shown) of(r.host).runs.push(r);
  for (const e of shownLost) of(e.host).ends.push(e);
  for (const h of by.values()) {
    h.runs.sort((a, b) => a.from - b.from);
    h.bad = h.ends.length || h.runs.some(r => BAD[r.status]) ? 1 : 0;
    const from = Math.min(...h.runs.map(r => r.from), ...h.ends.map(e => e.at));
    h.long = Math.max(...h.runs.map(r => r.from + r.long), ...h.ends.map(e => e.at)) - from;
  }
  return [...by.values()].sort(ORDERS[state.sort] || ORDERS.order);
}
function showHosts(main) {
  const hosts = hostsShown(), span = Math.max(1, D.last);
  if (!hosts.length) return main.append(el('p', 'none', 'Nothing is like that.'));
  const marks = ticks(span, innerWidth < 760 ? 4 : 8), axis = el('div');
  for (const t of marks) {
    const label = el('span', '', mark(t));
    label.style.left = 100 * t / span + '%';
    if (t / span < 0.97) axis.append(label);
  }
  const box = el('div', 'hostrows');
  box.append(el('div', 'axis', el('span', '', plural(hosts.length, 'host')), axis, el('span')));
  for (const h of hosts) box.append(hostRow(h, span, marks));
  main.append(box);
}

// ---- controls ----

function showChips() {
  const box = $('chips'), counts = byStatus(RUNS.concat(LOST));
  for (const [status, n] of counts) {
    const chip = el('button', '', dot(status), n.toLocaleString('en') + ' ' + status);
    chip.type = 'button';
    chip.dataset.status = status;
    chip.onclick = () => set({ status: state.status === status ? '' : status });
    box.append(chip);
  }
}
function showControls() {
  for (const chip of $('chips').children) {
    chip.setAttribute('aria-pressed', String(chip.dataset.status === state.status));
  }
  for (const tab of document.querySelectorAll('[data-tab]')) {
    tab.setAttribute('aria-selected', String(tab.dataset.tab === state.tab));
  }
  $('sort').hidden = state.tab !== 'hosts';
  $('sort').value = state.sort;
  if ($('search').value !== state.q) $('search').value = state.q;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.theme = state.theme || (dark ? 'dark' : 'light');
  $('theme').textContent = 'theme: ' + (state.theme || 'system');
}
function show() {
  search();
  showControls();
  showFailures();
  const main = $('main');
  main.replaceChildren();
  if (state.tab === 'hosts') showHosts(main); else showSteps(main);
}
// What is chosen is in the address, so that it can be handed on.
function set(change) {
  Object.assign(state, change);
  const words = new URLSearchParams();
  const usual = { tab: 'steps', status: '', q: '', sort: 'order', theme: '' };
  for (const key in usual) if (state[key] !== usual[key]) words.set(key, state[key]);
  try { history.replaceState(null, '', '#' + words); } catch (_) { /* a page without an address */ }
  show();
}
function read() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const key in state) if (words.has(key)) state[key] = words.get(key);
}

function showHead() {
  const failed = new Set(ENDS.filter(e => e.status !== 'ok').map(e => e.host)).size;
  const verdict = $('verdict'), status = !D.ended ? 'cancelled' : failed ? 'failed' : 'ok';
  verdict.textContent = !D.ended ? 'did not end' : failed ? 'failed' : 'ok';
  verdict.style.color = 'var(--' + status + '-ink)';
  $('title').textContent = D.playbook;
  const facts = [plural(D.hosts.length, 'host')];
  if (failed) facts.push(failed + ' failed');
  facts.push(plural(D.steps.length, 'step'));
  facts.push(duration(D.seconds ? Math.round(D.seconds * 1000) : D.last));
  const when = new Date(D.time * 1000);
  if (D.time) facts.push(when.toISOString().slice(0, 19).replace('T', ' ') + ' UTC');
  if (D.check) facts.push('check mode: nothing was changed');
  $('facts').textContent = facts.join(' \u00b7 ');
  const notes = D.messages.filter(m => m.level === 'warning');
  if (notes.length) {
    const list = groups(notes, m => m.text).slice(0, 20);
    for (const g of list) {
      const hosts = g.filter(m => m.host).map(m => m.host);
      $('facts').after(el('p', 'facts', 'warning: ' + text(g[0].text) + (hosts.length ? ' \u2014 ' + who(hosts) : '')));
    }
  }
  $('foot').textContent = 'Made by Orrery. All of it is in this file.';
}

for (const tab of document.querySelectorAll('[data-tab]')) tab.onclick = () => set({ tab: tab.dataset.tab });
$('sort').onchange = event => set({ sort: event.target.value });
$('theme').onclick = () => set({ theme: { '': 'light', light: 'dark', dark: '' }[state.theme] });
let typing = 0;
$('search').oninput = event => {
  clearTimeout(typing);
  typing = setTimeout(() => set({ q: event.target.value }), 120);
};
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
addEventListener('hashchange', () => { read(); show(); });
addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== $('search')) { event.preventDefault(); $('search').focus(); }
});
addEventListener('beforeprint', () => { for (const more of document.querySelectorAll('.more')) more.click(); });
read();
showHead();
showChips();
show();
]==]
