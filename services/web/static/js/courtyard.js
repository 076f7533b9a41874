/* What the pages do besides showing what the server sent. Everything here is optional: forms and links work without. */
(() => {
  "use strict";

  const body = document.body;
  const lang = document.documentElement.lang;
  const zone = body.dataset.zone || undefined;
  const ahead = Date.parse(body.dataset.now) - Date.now(); // the server's clock counts, not this device's
  const now = () => Date.now() + ahead;
  const clock = (at) => new Date(at).toLocaleTimeString(lang, { hour12: false, timeZone: zone });

  /* --- ages ------------------------------------------------------------------------------------------------------- */

  const words = JSON.parse(body.dataset.ageWords);
  const steps = [[60, 1], [3600, 60], [172800, 3600], [Infinity, 86400]];

  function age(at) {
    let seconds = (now() - at) / 1000;
    if (seconds < 0 && seconds > -5) seconds = 0; // two clocks, or a moment of rounding; nothing is due in a second
    const step = steps.findIndex(([below]) => Math.abs(seconds) < below);
    const text = (seconds >= 0 ? words.past : words.future)[step];
    return text.replace("%(n)s", Math.floor(Math.abs(seconds) / steps[step][1] + (seconds < 0 ? 0.5 : 0)));
  }

  function showAges() {
    for (const element of document.querySelectorAll("time[data-age]")) {
      const text = age(Date.parse(element.dateTime));
      if (element.textContent !== text) element.textContent = text;
    }
  }
  setInterval(showAges, 5000);

  /* --- filter of the board ------------------------------------------------------------------------------------------ */

  const filter = document.querySelector("[data-filter]");

  function applyFilter() {
    if (!filter) return;
    const wanted = Object.fromEntries(new FormData(filter));
    const text = wanted.text.trim().toLowerCase();
    let shown = 0;
    let all = 0;
    for (const group of document.querySelectorAll("[data-group]")) {
      let here = 0;
      for (const tile of group.querySelectorAll(".tiles > li")) {
        const d = tile.dataset;
        const state = wanted.state === "alarm" ? d.alarms !== "0" : !wanted.state || d.state === wanted.state;
        const keep = state && (!wanted.family || d.family === wanted.family) && (!text || d.text.includes(text));
        tile.hidden = !keep;
        here += keep ? 1 : 0;
        all += 1;
      }
      group.hidden = here === 0;
      shown += here;
    }
    const result = document.getElementById("filter-result");
    const said = result.dataset.text.replace("%(shown)s", shown).replace("%(all)s", all);
    const text_ = shown === all ? "" : said;
    if (result.textContent !== text_) result.textContent = text_;
    document.getElementById("filter-empty").hidden = shown > 0 || all === 0;
  }

  function keepFilter() {
    const address = new URL(location);
    for (const [name, value] of new FormData(filter)) {
      if (value) address.searchParams.set(name, value);
      else address.searchParams.delete(name);
    }
    history.replaceState(null, "", address);
    for (const link of filter.querySelectorAll("nav a")) {
      const target = new URL(link.href);
      for (const [name, value] of new FormData(filter)) {
        if (value) target.searchParams.set(name, value);
        else target.searchParams.delete(name);
      }
      link.href = target.pathname + target.search;
    }
  }

  if (filter) {
    const given = new URLSearchParams(location.search);
    for (const field of filter.elements) if (field.name && given.has(field.name)) field.value = given.get(field.name);
    filter.addEventListener("input", () => { applyFilter(); keepFilter(); });
    filter.addEventListener("submit", (event) => event.preventDefault());
    applyFilter();
    keepFilter();
  }

  /* --- the live feed ------------------------------------------------------------------------------------------------ */

  const feed = document.getElementById("feed");
  const SILENCE = 25000; // the server sends a beat every 10 s; a dead connection often closes nothing
  let heard = now(); // when the page last showed the truth
  let cut = false;
  let busy = false;
  let waiting = null; // what to fetch once the request under way is done

  function setLive(on) {
    const dot = document.getElementById("live");
    const state = on ? "on" : "off";
    if (dot && dot.dataset.live !== state) {
      dot.dataset.live = state;
      dot.textContent = on ? dot.dataset.on : dot.dataset.off;
    }
  }

  function setCut(isCut) {
    if (!feed || cut === isCut) return;
    cut = isCut;
    setLive(!isCut);
    const banner = document.getElementById("cut");
    banner.hidden = !isCut;
    if (isCut) banner.querySelector(".text").textContent = banner.dataset.text.replace("%(time)s", clock(heard));
  }

  const nothing = () => ({ all: false, side: false, devices: new Set() });

  function want(message) {
    const wanted = waiting || nothing();
    if (!message || message.reload) wanted.all = true;
    else if (feed.dataset.watch === "board") {
      (message.device || []).forEach((id) => wanted.devices.add(id));
      // An alarm changes its device's tile too, and the change names only the alarm: its device comes beside it.
      wanted.side = wanted.side || Boolean(message.alarm || message.ticket || message.outage);
      if (message.site) wanted.all = true;
    } else if (feed.dataset.watch.split(" ").some((token) => concerns(token, message))) wanted.all = true;
    else if (!waiting) return;
    waiting = wanted;
    fetchWaiting();
  }

  function concerns(token, message) {
    const [kind, id] = token.split("=");
    return message[kind] && (!id || message[kind].includes(id));
  }

  function fetchWaiting() {
    if (busy || !waiting) return;
    const wanted = waiting;
    const board = feed.dataset.watch === "board";
    const part = board ? feed : document.getElementById("part");
    if (feed.dataset.mode === "hint") {
      waiting = null;
      document.getElementById("hint").hidden = false;
      return;
    }
    if (!board && part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return;
    waiting = null;
    busy = true;
    const request = board ? boardRequest(wanted) : htmx.ajax("GET", location.pathname + location.search, {
      source: part, target: part, select: "#part", swap: "outerHTML",
    });
    request.then(() => { busy = false; fetchWaiting(); }, () => { busy = false; setCut(true); });
  }

  function boardRequest(wanted) {
    const address = new URL(feed.dataset.fragments, location.href);
    if (wanted.all) address.searchParams.set("all", "1");
    else {
      if (wanted.side) address.searchParams.set("side", "1");
      [...wanted.devices].slice(0, 200).forEach((id) => address.searchParams.append("device", id));
      if (wanted.devices.size > 200) address.searchParams.set("all", "1");
    }
    return htmx.ajax("GET", address.pathname + address.search, { source: feed, target: feed, swap: "none" });
  }

  if (feed) {
    body.addEventListener("htmx:sseBeforeMessage", (event) => {
      event.preventDefault(); // the feed carries what changed, not HTML
      const message = JSON.parse(event.detail.data);
      if (cut) { setCut(false); want(null); }
      heard = now();
      setLive(true);
      if (event.detail.type === "changes") want(message);
    });
    body.addEventListener("htmx:sseError", () => setCut(true));
    body.addEventListener("htmx:sseOpen", () => {
      if (cut) { setCut(false); want(null); }
      heard = now();
      setLive(true);
    });
    setInterval(() => { if (now() - heard > SILENCE) setCut(true); }, 1000);
    addEventListener("offline", () => setCut(true));
    addEventListener("focusout", () => setTimeout(fetchWaiting, 0));
  }

  const failed = () => {
    setCut(true);
    const old = document.getElementById("old");
    if (old) old.hidden = false;
  };
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) body.addEventListener(name, failed);
  body.addEventListener("htmx:afterSwap", () => { applyFilter(); showAges(); });
  body.addEventListener("htmx:oobAfterSwap", (event) => {
    const tile = event.detail.elt || event.detail.target;
    if (tile && tile.matches && tile.matches(".tiles > li")) tile.firstElementChild.classList.add("changed");
    applyFilter();
  });

  /* --- small comforts -------------------------------------------------------------------------------------------------- */

  const every = document.querySelector("[data-check-all]");
  if (every) {
    every.addEventListener("change", () => {
      for (const box of document.querySelectorAll(every.dataset.checkAll)) box.checked = every.checked;
    });
  }
  for (const form of document.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", () => {
      // A slow phone gets tapped twice; the second tap must not send the form again.
      setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }), 0);
    });
  }
  addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form[method=post] button").forEach((b) => { b.disabled = false; });
  });
})();
