// Keeps a page live: told that something changed, it asks for the page's own
// part, rendered by the server, and swaps the sections that differ. Without it
// everything works, by loading the page again.
"use strict";
(() => {
  const follow = document.body.dataset.follow;
  if (follow === undefined || !window.EventSource) return;
  const status = document.getElementById("live");
  let busy = false, again = false, last = Date.now();

  // what was just done has been said: a reload need not say it again
  const here = new URL(location.href);
  here.searchParams.delete("done");
  if (location.href !== here.href) history.replaceState(null, "", here);

  const typing = (el) => el.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");

  const swap = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const el of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(el.id);
      if (!old || typing(old)) continue;
      for (const d of el.querySelectorAll("details[id]")) {
        const was = document.getElementById(d.id);
        if (was) d.open = was.open;
      }
      const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      if (old.outerHTML !== el.outerHTML) old.replaceWith(document.adoptNode(el));
      if (focused) document.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const res = await fetch(location.href, {headers: {"X-Tocsin-Part": "1"}, credentials: "same-origin"});
      if (res.status === 401) { location.reload(); return; }
      if (res.ok) { swap(await res.text()); last = Date.now(); status.textContent = "Live"; }
    } catch { status.textContent = "Not live: no connection"; }
    busy = false;
    if (again) { again = false; setTimeout(refresh, 1000); }
  };

  let events;
  const listen = () => {
    events = new EventSource("/events?problem=" + encodeURIComponent(follow));
    events.addEventListener("hello", () => { status.textContent = "Live"; if (Date.now() - last > 5000) refresh(); });
    events.addEventListener("changed", refresh);
    events.addEventListener("error", () => {
      status.textContent = "Not live: connecting";
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 30000);
    });
  };
  listen();
  // times of day pass too
  setInterval(() => { if (!document.hidden && Date.now() - last > 60000) refresh(); }, 15000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && Date.now() - last > 5000) refresh(); });
})();
