-- The style of the HTML report.
return [==[
:root, [data-theme=light] {
  --bg: #fbfbfa; --raised: #fff; --ink: #1d2125; --soft: #5d666f; --faint: #8b949c; --rule: #e3e5e7;
  --rule-soft: #eeeff1; --hover: #f3f4f5; --focus: #2f6fbd;
  --ok: #a8cfb3; --changed: #e2b552; --failed: #cf3b36; --lost: #8f1f4c; --cancelled: #a86a6a; --ignored: #c487b8;
  --unknown: #8f7cc9; --skipped: #d9dde0;
  --ok-ink: #2b7a45; --changed-ink: #8a6100; --failed-ink: #b42822; --lost-ink: #8f1f4c; --cancelled-ink: #854848;
  --ignored-ink: #8d4a80; --unknown-ink: #5f4aa5; --skipped-ink: #6b747c;
  --bad-bg: #fdf3f2; --bad-rule: #f0cfcd; --code: #f6f7f7; --add: #e6f4ea; --add-ink: #1c6b36; --del: #fcebea;
  --del-ink: #a62a24; --hunk-ink: #5a6f9c;
  color-scheme: light;
}
@media screen {
  [data-theme=dark] {
    --bg: #16191c; --raised: #1c2024; --ink: #e4e7ea; --soft: #a3abb3; --faint: #757e87; --rule: #30363c;
    --rule-soft: #262b30; --hover: #22272c; --focus: #6ea8ec;
    --ok: #3d6b4c; --changed: #bf9239; --failed: #e0554f; --lost: #c2447a; --cancelled: #a06565; --ignored: #a56a99;
    --unknown: #8a78c4; --skipped: #353c43;
    --ok-ink: #82c796; --changed-ink: #e6b652; --failed-ink: #f3857f; --lost-ink: #ee83ae; --cancelled-ink: #d39c9c;
    --ignored-ink: #d59fca; --unknown-ink: #b5a6e6; --skipped-ink: #98a1a9;
    --bad-bg: #2a1e1f; --bad-rule: #56302f; --code: #14171a; --add: #1a3022; --add-ink: #8fd3a3; --del: #3a2020;
    --del-ink: #f2a09b; --hunk-ink: #93a9d6;
    color-scheme: dark;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { background: var(--bg); color: var(--ink); -webkit-text-size-adjust: 100%; }
body {
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  max-width: 1280px; margin: 0 auto; padding: 28px 28px 48px; font-variant-numeric: tabular-nums;
}
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
button, input, select { font: inherit; color: inherit; }
button { background: none; border: 0; padding: 0; cursor: pointer; text-align: left; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
h1 { font-size: 22px; line-height: 1.25; font-weight: 650; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 13px; font-weight: 600; color: var(--soft); margin: 28px 0 8px; }
.top .line { display: flex; align-items: center; gap: 12px; flex-wrap: wrap; }
.facts { color: var(--soft); margin: 4px 0 0; }
.pill { font-size: 12px; font-weight: 600; padding: 2px 10px; border-radius: 999px; border: 1px solid currentColor; }
#theme { margin-left: auto; color: var(--faint); font-size: 12px; }
#theme:hover { color: var(--ink); }

.fails { background: var(--bad-bg); border: 1px solid var(--bad-rule); border-radius: 6px; }
.fail + .fail, .fails > .more { border-top: 1px solid var(--bad-rule); }
.fail > button { display: grid; grid-template-columns: 72px minmax(0, 1fr) minmax(0, auto); gap: 0 12px; width: 100%;
  padding: 8px 14px; }
.fail .status { line-height: 21px; }
.fail .what { font-weight: 600; overflow-wrap: anywhere; }
.fail .who { color: var(--soft); display: flex; gap: 6px; justify-content: flex-end; max-width: 36ch; }
.fail .who span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.fail .msg { grid-column: 2 / -1; overflow-wrap: anywhere; }
.fail .body { padding: 0 14px 12px 98px; }
.fails > .more { width: 100%; padding: 7px 14px 7px 98px; color: var(--soft); }
.fails > .more:hover { color: var(--ink); }

.bar {
  position: sticky; top: 0; z-index: 3; background: var(--bg); display: flex; flex-wrap: wrap; align-items: center;
  gap: 8px 18px; padding: 12px 0 10px; margin-top: 20px; border-bottom: 1px solid var(--rule);
}
.tabs { display: flex; gap: 16px; }
.tabs button { color: var(--soft); padding: 3px 0; border-bottom: 2px solid transparent; }
.tabs button[aria-selected=true] { color: var(--ink); font-weight: 600; border-color: var(--ink); }
.chips { display: flex; flex-wrap: wrap; gap: 6px; }
.chips button { font-size: 12.5px; padding: 2px 9px; border-radius: 999px; border: 1px solid var(--rule);
  color: var(--soft); display: inline-flex; align-items: center; gap: 6px; background: var(--raised); }
.chips button:hover { border-color: var(--faint); }
.chips button[aria-pressed=true] { border-color: var(--ink); color: var(--ink);
  box-shadow: inset 0 0 0 1px var(--ink); }
.dot { width: 8px; height: 8px; border-radius: 2px; flex: none; display: inline-block; }
#search { margin-left: auto; width: 240px; min-width: 0; }
#search, #sort { border: 1px solid var(--rule); border-radius: 6px; background: var(--raised); padding: 4px 10px; }

.play { margin: 22px 0 4px; display: flex; gap: 10px; align-items: baseline; }
.play h2 { margin: 0; color: var(--ink); font-size: 15px; }
.play span { color: var(--soft); }
.row { border-bottom: 1px solid var(--rule-soft); content-visibility: auto; contain-intrinsic-size: auto 34px; }
.row > button { display: grid; align-items: center; gap: 0 14px; width: 100%; padding: 6px 4px; min-height: 34px; }
.row > button:hover { background: var(--hover); }
.steps .row > button { grid-template-columns: 44px minmax(160px, 1.4fr) minmax(90px, 1fr) minmax(150px, .9fr) 76px; }
.num, .time { color: var(--faint); font-size: 12.5px; }
.time { text-align: right; white-space: nowrap; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.open > button .name { white-space: normal; overflow-wrap: anywhere; }
.tag { color: var(--faint); font-weight: 400; font-size: 12px; margin-left: 6px; }
.stack { display: flex; height: 10px; border-radius: 2px; overflow: hidden; background: var(--rule-soft); gap: 1px; }
.stack i { display: block; min-width: 2px; }
.counts { font-size: 12.5px; color: var(--soft); display: flex; gap: 10px; flex-wrap: wrap; }
.body { padding: 2px 4px 14px 62px; }
.case { margin: 8px 0 12px; }
.case > p { margin: 0; display: flex; gap: 2px 10px; flex-wrap: wrap; align-items: baseline; }
.case .hosts { color: var(--soft); overflow-wrap: anywhere; }
.case .msg { margin: 0; color: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere; }
.status { font-weight: 600; font-size: 12.5px; }
pre { margin: 6px 0 0; padding: 9px 12px; background: var(--code); border: 1px solid var(--rule-soft);
  border-radius: 5px; font-size: 12.5px; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere;
  max-height: 420px; overflow: auto; tab-size: 8; }
pre.error { border-left: 3px solid var(--failed); }
pre b { font-weight: 600; }
pre span { display: block; min-height: 1.5em; }
.add { background: var(--add); color: var(--add-ink); }
.del { background: var(--del); color: var(--del-ink); }
.hunk { color: var(--hunk-ink); }
.label { font-size: 12px; color: var(--faint); margin: 8px 0 -2px; }

.hostrows .row > button, .axis { grid-template-columns: minmax(90px, 15%) 1fr 76px; }
.axis { display: grid; gap: 0 14px; padding: 0 4px; color: var(--faint); font-size: 12px; height: 22px; }
.axis > span { align-self: end; }
.axis div { position: relative; }
.axis div span { position: absolute; bottom: 2px; transform: translateX(-50%); white-space: nowrap; }
.axis div span:first-child { transform: none; }
.hostrows svg { display: block; width: 100%; height: 16px; }
.hostrows .track { fill: var(--rule-soft); }
.hostrows .grid { stroke: var(--rule); stroke-width: 1; vector-effect: non-scaling-stroke; }
.bad .name { color: var(--failed-ink); font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
td { padding: 3px 12px 3px 0; vertical-align: top; border-top: 1px solid var(--rule-soft); overflow-wrap: anywhere; }
tr:first-child td { border-top: 0; }
td.says { color: var(--soft); white-space: pre-wrap; }
td.status, td.time { white-space: nowrap; width: 1%; }
td:last-child { padding-right: 0; }
.none { color: var(--soft); padding: 24px 4px; }
#tip { position: fixed; z-index: 9; pointer-events: none; background: var(--raised); color: var(--ink);
  max-width: 320px; border: 1px solid var(--rule); border-radius: 6px; padding: 6px 10px; font-size: 12.5px;
  box-shadow: 0 4px 18px rgb(0 0 0 / .16); }
footer { color: var(--faint); font-size: 12px; margin-top: 28px; }

@media (max-width: 760px) {
  body { padding: 18px 14px 36px; }
  .steps .row > button { grid-template-columns: 1fr auto; gap: 3px 10px; }
  .steps .num { display: none; }
  .steps .stack { grid-column: 1 / -1; grid-row: 2; }
  .steps .counts { grid-column: 1 / -1; grid-row: 3; }
  .steps .time { grid-column: 2; grid-row: 1; }
  .body { padding-left: 4px; }
  .fail > button { grid-template-columns: minmax(0, 1fr); }
  .fail .who { justify-content: flex-start; max-width: none; }
  .fails > .more { padding-left: 14px; }
  .fail .msg { grid-column: 1; }
  .fail .body { padding-left: 14px; }
  .hostrows .row > button, .axis { grid-template-columns: 84px 1fr 52px; gap: 0 8px; }
  #search { width: 100%; margin-left: 0; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  html { background: #fff; }
  .bar, #theme, #tip, footer { display: none; }
  .row, .fail, .case { break-inside: avoid; content-visibility: visible; }
  .hostrows .row > button, .axis { grid-template-columns: 90px 1fr 70px; }
  pre { max-height: none; }
  .stack i, svg, .dot, .add, .del, .fails { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
]==]
