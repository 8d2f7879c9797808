// Comfort on top of pages that work without it: live lists, copying, relative times, swapping a part of a page instead of
// loading all of it, and keys. Whatever fails here ends as an ordinary link or form.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const say = (text) => { $("#said").textContent = text; };

// ---- relative times: <small data-ago="unix ms"> ----

function ago(ms) {
  const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (s < 2) return "just now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}
function tick() {
  for (const el of $$("[data-ago]")) {
    const text = ago(Number(el.dataset.ago));
    if (el.textContent !== text) el.textContent = text;
  }
}
tick();
setInterval(tick, 1000);

// ---- live list: <section data-live="address"> with [data-rows] inside, polled while the page is seen ----

const live = $("[data-live]");
if (live) {
  const state = $(".live", live);
  const button = $("button[data-pause]", live);
  let paused = false, mark = live.dataset.mark || "", failures = 0;
  state.hidden = button.hidden = false;

  // Reading a row or choosing a filter must not pull the list away from under the reader.
  const reading = () => {
    const rows = $("[data-rows]", live);
    return live.contains(document.activeElement) && document.activeElement.matches("a") || !rows.matches("[data-first]") && rows.matches(":hover");
  };
  const tell = () => {
    const held = paused || reading();
    state.classList.toggle("paused", held || failures > 0);
    const text = paused ? "Paused" : failures > 0 ? "Not reachable, trying again" : held ? "Held while you read" : "Live";
    if (state.textContent !== text) state.textContent = text;
  };
  const pause = (wanted) => {
    paused = wanted;
    button.textContent = paused ? "Resume" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    tell();
  };
  button.addEventListener("click", () => pause(!paused));
  document.addEventListener("keydown", (event) => {
    if (event.key === "p" && !typing(event)) pause(!paused);
  });
  for (const kind of ["mouseover", "mouseout", "focusin", "focusout"]) live.addEventListener(kind, () => setTimeout(tell));

  async function poll() {
    if (!paused && !document.hidden && !reading()) {
      try {
        const address = live.dataset.live + (live.dataset.live.includes("?") ? "&" : "?") + "mark=" + encodeURIComponent(mark);
        const answer = await fetch(address, { cache: "no-store" });
        if (answer.status === 200) {
          const html = await answer.text();
          if (!paused && !reading()) { // else they are fetched again
            mark = answer.headers.get("x-mark") || "";
            show(html);
          }
        } else if (answer.status !== 204) {
          throw new Error(`status ${answer.status}`);
        }
        failures = 0;
      } catch {
        failures += 1;
      }
    }
    tell();
    setTimeout(poll, failures ? 3000 : 1000);
  }

  function show(html) {
    const rows = $("[data-rows]", live);
    if (rows.matches("[data-first]")) return location.reload(); // now there is something to search in
    const known = new Set($$("[data-key]", rows).map((row) => row.dataset.key));
    const fresh = document.createElement("template");
    fresh.innerHTML = html; // our own escaped markup; the policy forbids inline code anyway
    rows.replaceChildren(fresh.content);
    for (const row of $$("[data-key]", rows)) if (known.size && !known.has(row.dataset.key)) row.classList.add("fresh");
    tick();
  }
  setTimeout(poll, 1000);
}

// ---- copy: <button data-copy="text" hidden> ----

function reveal(root = document) {
  for (const el of $$("button[data-copy]", root)) el.hidden = !navigator.clipboard;
}
reveal();
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    const before = button.textContent;
    button.textContent = "Copied";
    say("Copied");
    setTimeout(() => { button.textContent = before; }, 1200);
  } catch {
    say("The browser did not allow copying");
  }
});

// ---- swap: a link or form inside [data-swap] replaces only that part, keeps the scroll position and the address ----

let turn = 0; // of two quick clicks the later counts, whichever answer comes first

async function swap(address, focus, push = true) {
  const mine = ++turn;
  $("[data-swap]").setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = $("[data-swap]", page);
    if (!answer.ok || !next) throw new Error("not this page");
    if (mine !== turn) return;
    $("[data-swap]").replaceWith(document.adoptNode(next));
    if (push) history.pushState(null, "", address);
    reveal(next);
    tick();
    const target = focus && document.getElementById(focus);
    if (target) {
      target.focus({ preventScroll: true });
      target.scrollIntoView({ block: "nearest" });
    }
    const said = $("[data-say]", next);
    if (said) say(said.dataset.say);
  } catch {
    if (mine === turn) location.assign(address);
  }
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-swap] a[data-to]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  swap(link.href.split("#")[0], link.dataset.to);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-swap] form")) return;
  event.preventDefault();
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  swap(`${form.getAttribute("action")}?${query}`, form.dataset.to);
});
if ($("[data-swap]")) addEventListener("popstate", () => swap(location.href, null, false));

// A filter that is chosen by pointer is applied at once. By keys one passes the others on the way to the one that is meant: Enter or the
// button applies it.
let pointed = false;
document.addEventListener("pointerdown", () => { pointed = true; }, true);
document.addEventListener("keydown", () => { pointed = false; }, true);
document.addEventListener("change", (event) => {
  if (pointed && event.target.matches("[data-auto] select, [data-auto] input[type=checkbox]")) event.target.form.requestSubmit();
});
// Empty fields do not belong into the address.
document.addEventListener("submit", (event) => {
  for (const field of $$("input, select", event.target)) if (field.value === "") field.disabled = true;
  setTimeout(() => { for (const field of $$("input, select", event.target)) field.disabled = false; });
});

// ---- keys ----

function typing(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea");
}
function rows() { return $$("[data-row]").filter((row) => row.offsetParent !== null); }
function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const chosen = all.findIndex((row) => row.getAttribute("aria-current") === "true");
  const from = at >= 0 ? at : chosen >= 0 ? chosen : by > 0 ? -1 : all.length;
  const next = all[Math.max(0, Math.min(all.length - 1, from + by))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.matches("input")) return event.target.blur();
  if (typing(event)) return;
  const inTree = document.activeElement?.closest?.("[role=treegrid] tr:not(.panel, .gap)");
  const click = (selector, root = document) => { const el = $(selector, root); if (el) el.click(); return el; };
  let done = true;
  switch (event.key) {
    case "/": ($("[data-find]") || $("#trace-id")).focus(); break;
    case "g": $("#trace-id").focus(); break;
    case "j": step(1); break;
    case "k": step(-1); break;
    case "ArrowDown": if (inTree) step(1); else done = false; break;
    case "ArrowUp": if (inTree) step(-1); else done = false; break;
    case "ArrowRight": done = inTree?.getAttribute("aria-expanded") === "false" && click("a.twist", inTree); break;
    case "ArrowLeft": done = inTree?.getAttribute("aria-expanded") === "true" && click("a.twist", inTree); break;
    case "Home": if (inTree) step(-1e9); else done = false; break;
    case "End": if (inTree) step(1e9); else done = false; break;
    case "n": done = click("[data-next]"); break;
    case "N": done = click("[data-previous]"); break;
    case "e": done = click("[data-error]"); break;
    default: done = false;
  }
  if (done) event.preventDefault();
});
