/** The page's state is its address: what is read here is all that a pasted address restores. */

const listeners = new Set();

/** The state as an object of texts. */
export const read = () => Object.fromEntries(new URLSearchParams(location.search));

/** The address of the state with some values changed; an empty value takes a key out. */
export const address = (changes, from = read()) => {
  const kept = Object.entries({ ...from, ...changes }).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `?${new URLSearchParams(kept)}`;
};

/** The address of another page of the same study: the selection goes along, the rest does not. */
export const page = (view, more = {}) => {
  const { study, model, detector, set } = read();
  return address({ study, model, detector, set, view, ...more }, {});
};

/** Go to an address, as a new entry of the history unless `replace`. */
export const go = (to, { replace = false } = {}) => {
  const target = to === "?" ? location.pathname : to;
  if (!replace && target === (location.search || location.pathname)) return;
  history.replaceState({ scroll: scrollY }, "");
  if (replace) history.replaceState({ scroll: scrollY }, "", target);
  else history.pushState({ scroll: 0 }, "", target);
  tell(null);
};

/** Change some values of the state. */
export const change = (changes, options) => go(address(changes), options);

/** Change some values of the address alone: nothing is shown anew. */
export const amend = (changes) => history.replaceState(history.state, "", address(changes));

/** Call `listener(state, scroll)` after every change; `scroll` is where the reader was, after back and forward. */
export const listen = (listener) => listeners.add(listener);

const tell = (scroll) => {
  for (const listener of listeners) listener(read(), scroll);
};

const plainClick = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

/** Links that begin with "?" stay on the page; back and forward work as everywhere. */
export const start = () => {
  history.scrollRestoration = "manual";
  addEventListener("popstate", (event) => tell(event.state?.scroll ?? 0));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='?']");
    if (!link || !plainClick(event)) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
};
