-- The page of the HTML report; html.lua fills in what is between @.
return [==[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Orrery">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>@title@ - run report</title>
<link rel="icon" href="data:,">
<style>
@style@</style>
</head>
<body>
<header class="top">
  <div class="line">
    <h1 id="title"></h1>
    <span id="verdict" class="pill"></span>
    <button id="theme" class="plain" type="button" title="Light, dark, or as the system has it"></button>
  </div>
  <p id="facts" class="facts"></p>
</header>
<section id="failures" aria-label="What failed"></section>
<nav class="bar">
  <div class="tabs" role="tablist">
    <button type="button" role="tab" id="tab-steps" data-tab="steps">Steps</button>
    <button type="button" role="tab" id="tab-hosts" data-tab="hosts">Hosts</button>
  </div>
  <div class="chips" id="chips" role="group" aria-label="Statuses"></div>
  <select id="sort" aria-label="Order of hosts">
    <option value="order">as given</option>
    <option value="bad">failed first</option>
    <option value="slow">longest first</option>
    <option value="name">by name</option>
  </select>
  <input id="search" type="search" placeholder="host, step or text" aria-label="Search" autocomplete="off"
    spellcheck="false">
</nav>
<main id="main"></main>
<footer id="foot"></footer>
<div id="tip" role="tooltip" hidden></div>
<noscript><p class="none">This report is made by its own script. It loads nothing from anywhere.</p></noscript>
<script type="application/json" id="run">@data@</script>
<script>
@script@</script>
</body>
</html>
]==]
