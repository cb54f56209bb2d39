"use strict";
// Renews the parts of a guard's page that have changed. It is read before page.js draws: what the server sent is compared.
(() => {
  const PARTS = "header .facts, #state, #answer, main article[id]";
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  const said = document.getElementById("renewed");
  const key = (part) => part.id || part.className;
  const sent = new Map([...document.querySelectorAll(PARTS)].map((part) => [key(part), part.outerHTML]));
  const focusable = "a, button, input, summary, [tabindex='0']";
  let paused = false;
  let last = new Date();

  const clock = (time) => `${time.toISOString().slice(11, 19)} UTC`;
  const inUse = (part) => part.querySelector("[aria-sort]") || [...part.querySelectorAll("input")].some((input) => input.value);

  const swap = (old, next) => {
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    const heights = [...old.querySelectorAll(".vega")].map((one) => one.offsetHeight);
    const places = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const focus = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
    [...next.querySelectorAll("details")].forEach((one, at) => { if (at in open) one.open = open[at]; });
    [...next.querySelectorAll(".vega")].forEach((one, at) => { if (heights[at]) one.style.minHeight = `${heights[at]}px`; });
    old.replaceWith(next);
    window.outfieldPage.adopt(next);
    [...next.querySelectorAll(".scroll")].forEach((one, at) => { if (places[at]) one.scrollLeft = places[at]; });
    if (focus >= 0) [...next.querySelectorAll(focusable)][focus]?.focus({ preventScroll: true });
  };

  const renew = (text) => {
    const made = new DOMParser().parseFromString(text, "text/html");
    for (const next of made.querySelectorAll(PARTS)) {
      const old = [...document.querySelectorAll(PARTS)].find((part) => key(part) === key(next));
      const html = next.outerHTML;
      if (!old || sent.get(key(next)) === html || inUse(old)) continue;
      sent.set(key(next), html);
      swap(old, document.importNode(next, true));
    }
  };

  const look = async () => {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch("./", { cache: "no-cache" });
        if (!answer.ok) throw new Error(await answer.text());
        renew(await answer.text());
        last = new Date();
        said.textContent = `Renewed ${clock(last)}`;
        said.classList.remove("late");
      } catch (error) {
        said.textContent = `No answer since ${clock(last)}; asking again. ${error.message.slice(0, 300)}`;
        said.classList.add("late");
      }
    }
    setTimeout(look, 1000 * Number(live.dataset.every));
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    said.textContent = paused ? `Paused; as of ${clock(last)}` : "Renewing";
  });
  addEventListener("load", () => setTimeout(look, 1000 * Number(live.dataset.every)));
})();
