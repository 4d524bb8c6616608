-- The script of the HTML report: its data, texts, filters, failures and steps. timeline.lua goes on.
return [==[
'use strict';
const D = JSON.parse(document.getElementById('run').textContent);
const $ = id => document.getElementById(id);
const state = { tab: 'steps', status: '', q: '', sort: 'order', theme: '' };
const BAD = { failed: 1, lost: 1, cancelled: 1 };

function el(tag, cls, ...kids) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const kid of kids) if (kid !== null && kid !== undefined && kid !== '') node.append(kid);
  return node;
}
function dot(status) {
  const node = el('i', 'dot');
  node.style.background = 'var(--' + status + ')';
  return node;
}
function word(status) {
  const node = el('span', 'status', status);
  node.style.color = 'var(--' + status + '-ink)';
  return node;
}
const plural = (n, what) => n + ' ' + what + (n === 1 ? '' : 's');
function duration(ms) {
  if (ms < 100) return ms + ' ms';
  if (ms < 9950) return (ms / 1000).toFixed(1) + ' s';
  const s = Math.round(ms / 1000);
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + String(s % 60).padStart(2, '0') + ' s';
  return Math.floor(s / 3600) + ' h ' + String(Math.floor(s % 3600 / 60)).padStart(2, '0') + ' min';
}

// "web[1-17],db1" of names.
function fold(names) {
  const groups = new Map();
  for (const name of names) {
    const m = /^([^.]*?)(\d{1,15})(\D*?)((?:\..*)?)$/.exec(name);
    const key = m ? m[1] + '\0' + m[3] + m[4] : name;
    if (!groups.has(key)) groups.set(key, { head: m ? m[1] : name, tail: m ? m[3] + m[4] : '', numbers: [] });
    if (m) groups.get(key).numbers.push(m[2]);
  }
  const out = [];
  for (const g of groups.values()) {
    const list = g.numbers.sort((a, b) => a - b || a.length - b.length), parts = [];
    for (let i = 0; i < list.length; i++) {
      let j = i;
      while (j + 1 < list.length && list[j + 1] === String(+list[j] + 1).padStart(list[j].length, '0')) j++;
      parts.push(j > i ? list[i] + '-' + list[j] : list[i]);
      i = j;
    }
    const numbers = list.length > 1 ? '[' + parts.join(',') + ']' : list[0] || '';
    out.push(g.head + numbers + g.tail);
  }
  return out.join(',');
}
const folded = hosts => fold(hosts.slice().sort((a, b) => a - b).map(h => D.hosts[h - 1]));
function who(hosts) {
  const names = folded(hosts);
  return hosts.length > 1 ? names + ' (' + hosts.length + ')' : names;
}

// A run of a step on a host: [step, host, status, from, long, message, error, diff, output, attempts].
const RUNS = D.runs.map(r => ({
  step: r[0], host: r[1], status: D.statuses[r[2] - 1], from: r[3], long: r[4], msg: r[5], err: r[6], diff: r[7],
  out: r[8], tries: r[9],
}));
const text = number => number ? D.texts[number - 1] : '';
const ENDS = D.ends.map(e => ({ play: e[0], host: e[1], status: D.statuses[e[2] - 1], at: e[3], err: e[4] }));
const LOST = ENDS.filter(e => e.status !== 'ok' && !RUNS.some(r =>
  r.host === e.host && r.status === 'failed' && D.steps[r.step - 1].play === e.play));

// Steps that consist of others: a timeline shows those.
const WHOLES = new Set();
D.steps.forEach(s => {
  const parts = s.id.split('.');
  while (parts.length > 1) {
    parts.pop();
    WHOLES.add(s.play + ' ' + parts.join('.'));
  }
});
D.steps.forEach(s => { s.whole = WHOLES.has(s.play + ' ' + s.id); });

// ---- what is searched for: each word must be in the host's name, the step's, or one of the texts ----

function matcher() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return r => !state.status || r.status === state.status;
  const has = (list, f) => words.map(w => list.map(x => f(x).toLowerCase().includes(w)));
  const hosts = has(D.hosts, x => x), texts = has(D.texts, x => x);
  const steps = has(D.steps, x => x.name + ' ' + (x.resource || '') + ' ' + (x.at || '') + ' #' + x.id);
  return r => (!state.status || r.status === state.status) && words.every((_, i) =>
    hosts[i][r.host - 1] || r.step && steps[i][r.step - 1] ||
    [r.msg, r.err, r.diff, r.out].some(t => t && texts[i][t - 1]));
}
let shown = RUNS, shownLost = LOST;
function search() {
  const match = matcher();
  shown = RUNS.filter(match);
  shownLost = LOST.filter(match);
}

// ---- texts ----

function pre(kind, content) {
  const node = el('pre', kind);
  if (kind !== 'diff') {
    const [first, ...rest] = content.split('\n');
    if (kind === 'error') node.append(el('b', '', first), rest.length ? '\n' + rest.join('\n') : '');
    else node.append(content);
    return node;
  }
  let header = true;
  for (const line of content.split('\n')) {
    const c = line[0];
    if (c === '@') header = false;
    if (/^(---|\+\+\+) /.test(line) && header) node.append(el('span', 'hunk', line));
    else node.append(el('span', c === '+' ? 'add' : c === '-' ? 'del' : c === '@' ? 'hunk' : '', line));
    if (c !== '+' && c !== '-' && c !== ' ' && c !== '@') header = true;
  }
  return node;
}
function details(r) {
  const out = [];
  if (r.err) out.push(pre('error', text(r.err)));
  if (r.diff) out.push(el('p', 'label', 'changes'), pre('diff', text(r.diff)));
  if (r.out) out.push(el('p', 'label', 'output'), pre('output', text(r.out)));
  return out;
}

// Opens and closes what is below a button; it is made when it is first wanted.
function opener(row, make) {
  const button = row.firstChild;
  button.type = 'button';
  button.setAttribute('aria-expanded', 'false');
  button.onclick = () => {
    const open = row.classList.toggle('open');
    button.setAttribute('aria-expanded', String(open));
    if (row.children.length === 1) row.append(make());
    row.children[1].hidden = !open;
  };
  return row;
}

// ---- what failed ----

function groups(list, key) {
  const map = new Map();
  for (const x of list) {
    const k = key(x);
    if (!map.has(k)) map.set(k, []);
    map.get(k).push(x);
  }
  return [...map.values()];
}
// The same but for the host's name is the same.
function general(r) {
  return text(r.err).split('\n')[0].split(D.hosts[r.host - 1]).join('\0');
}
function whoBriefly(hosts) {
  const names = el('span', '', folded(hosts));
  return el('span', 'who', names, hosts.length > 1 ? el('span', '', '(' + hosts.length + ')') : '');
}
function failure(list) {
  const r = list[0], step = r.step && D.steps[r.step - 1];
  const button = el('button', '', word(r.status),
    el('span', 'what', step ? step.name : r.status === 'lost' ? 'the connection' : 'between steps',
      step && step.at ? el('span', 'tag', step.at) : ''),
    whoBriefly(list.map(x => x.host)),
    el('span', 'msg', text(r.err).split('\n')[0] || text(r.msg)));
  button.children[2].title = who(list.map(x => x.host));
  return opener(el('div', 'fail', button), () => {
    const body = el('div', 'body');
    if (list.length > 1) body.append(el('div', 'mono', who(list.map(x => x.host))));
    body.append(...details(r));
    return body;
  });
}
// What failed is told of the innermost step.
function innermost(runs) {
  const outer = new Set(), key = (r, id) => r.host + ' ' + D.steps[r.step - 1].play + ' ' + id;
  for (const r of runs) {
    const parts = D.steps[r.step - 1].id.split('.');
    while (parts.length > 1) {
      parts.pop();
      outer.add(key(r, parts.join('.')));
    }
  }
  return runs.filter(r => !outer.has(key(r, D.steps[r.step - 1].id)));
}
function showFailures() {
  const bad = groups(innermost(shown.filter(r => r.status === 'failed')).concat(shownLost),
    r => [r.step || 0, r.status, general(r)].join('\0')).sort((a, b) => b.length - a.length);
  const box = $('failures');
  box.replaceChildren();
  if (!bad.length) return;
  const hosts = new Set(bad.flat().map(r => r.host)).size, few = 6;
  const list = el('div', 'fails', ...bad.slice(0, bad.length > few + 1 ? few : few + 1).map(failure));
  if (bad.length > few + 1) {
    const more = el('button', 'more', 'and ' + (bad.length - few) + ' more');
    more.type = 'button';
    more.onclick = () => more.replaceWith(...bad.slice(few).map(failure));
    list.append(more);
  }
  box.append(el('h2', '', plural(hosts, 'host') + ' did not get through'), list);
}

// ---- steps ----

function byStatus(runs) {
  const counts = {};
  for (const r of runs) counts[r.status] = (counts[r.status] || 0) + 1;
  return D.statuses.filter(s => counts[s]).map(s => [s, counts[s]]);
}
function stack(counts, whole) {
  const node = el('span', 'stack');
  for (const [status, n] of counts) {
    const part = el('i');
    part.style.background = 'var(--' + status + ')';
    part.style.flex = '0 1 ' + (100 * n / whole) + '%';
    node.append(part);
  }
  return node;
}
function range(runs) {
  const all = runs.map(r => r.long).sort((a, b) => a - b);
  const most = all[all.length - 1], middle = all[all.length >> 1];
  return [duration(most), all.length > 1 ? 'half of them within ' + duration(middle) : ''];
}
function outcome(runs) {
  const r = runs[0], [most, title] = range(runs);
  const time = el('span', 'time', most, r.tries > 1 ? ', ' + r.tries + ' tries' : '');
  time.title = title;
  const head = el('p', '', word(r.status), time, el('span', 'hosts', who(runs.map(x => x.host))));
  return el('div', 'case', head, r.msg && !r.err ? el('p', 'msg', text(r.msg)) : '', ...details(r));
}
function outcomes(runs) {
  const list = groups(runs, r => [r.status, r.msg, r.err, r.diff, r.out].join(' '));
  const rank = r => D.statuses.indexOf(r[0].status);
  list.sort((a, b) => rank(a) - rank(b) || a.length - b.length);
  const body = el('div', 'body', ...list.slice(0, 60).map(outcome));
  if (list.length > 60) body.append(el('p', 'none', 'and ' + (list.length - 60) + ' more that differ: search'));
  return body;
}
function stepRow(number, runs, whole) {
  const step = D.steps[number - 1], counts = byStatus(runs), [most, title] = range(runs);
  const name = el('span', 'name', (step.handler ? 'handler ' : '') + step.name);
  name.style.paddingLeft = 16 * (step.id.split('.').length - 1) + 'px';
  if (step.at) name.append(el('span', 'tag', step.at));
  const time = el('span', 'time', most);
  time.title = title;
  const words = el('span', 'counts');
  for (const [status, n] of counts) {
    const part = el('span', '', n + ' ' + status);
    part.style.color = 'var(--' + status + '-ink)';
    words.append(part);
  }
  const button = el('button', '', el('span', 'num', step.id), name, stack(counts, whole), words, time);
  return opener(el('div', 'row' + (counts.some(c => BAD[c[0]]) ? ' bad' : ''), button), () => outcomes(runs));
}
function playHead(play, hosts) {
  const about = [plural(play.hosts.length, 'host')];
  if (play.seconds) about.push(duration(Math.round(play.seconds * 1000)));
  if (hosts !== play.hosts.length) about.push(hosts + ' shown');
  return el('div', 'play', el('h2', '', play.name || 'play'), el('span', '', about.join(', ')));
}
function showSteps(main) {
  const box = el('div', 'steps'), by = new Map();
  for (const r of shown) {
    if (!by.has(r.step)) by.set(r.step, []);
    by.get(r.step).push(r);
  }
  D.plays.forEach((play, i) => {
    const numbers = [...by.keys()].filter(n => D.steps[n - 1].play === i + 1);
    if (!numbers.length) return;
    const order = n => D.steps[n - 1].id.split('.').map(Number);
    const first = n => Math.min(...by.get(n).map(r => r.from));
    numbers.sort((a, b) => {
      const x = order(a), y = order(b);
      for (let k = 0; k < Math.min(x.length, y.length); k++) if (x[k] !== y[k]) {
        return x[k] - y[k] || first(a) - first(b);
      }
      return x.length - y.length || first(a) - first(b);
    });
    const hosts = new Set(numbers.flatMap(n => by.get(n).map(r => r.host))).size;
    box.append(playHead(play, hosts), ...numbers.map(n => stepRow(n, by.get(n), play.hosts.length)));
  });
  main.append(box.children.length ? box : el('p', 'none', 'Nothing is like that.'));
}
]==]
