// Each choice and each link becomes a step of the browser's history, and none loads the app anew.
//
// Streamlit replaces the address when a control changes, so that Back would leave the page; and it
// leaves links in figures and texts to the browser, which would lose the session. What this relies
// on in Streamlit and Vega is checked by tests/e2e/test_links.py.
(() => {
  if (window.skillscope) return;
  window.skillscope = true;

  const { pushState, replaceState } = history;
  const TOGETHER = 400; // milliseconds within which changes of an address are one step
  let last = -Infinity;
  history.pushState = function (state, title, url) {
    const here = new URL(url ?? "", location.href).pathname === location.pathname;
    const now = performance.now();
    const again = here && now - last < TOGETHER;
    last = now;
    return (again ? replaceState : pushState).call(this, state, title, url);
  };
  history.replaceState = function (state, title, url) {
    // Only where a control has changed the address does Streamlit give the whole of it.
    const next = /^https?:/.test(url ?? "") ? new URL(url) : location;
    const changed = next.pathname === location.pathname && next.search !== location.search;
    return changed ? this.pushState(state, title, url) : replaceState.call(this, state, title, url);
  };

  // What Streamlit does after Back, it does for a new address, too.
  const follow = (link) => {
    const address = new URL(link);
    for (const [name, value] of new URLSearchParams(location.search))
      if (name.startsWith("embed")) address.searchParams.append(name, value);
    pushState.call(history, {}, "", address);
    dispatchEvent(new PopStateEvent("popstate"));
  };
  const ours = (link, event) =>
    link.origin === location.origin &&
    !link.hasAttribute("download") &&
    event.button === 0 &&
    !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);

  // Vega clicks a link that is not in the document.
  HTMLAnchorElement.prototype.dispatchEvent = function (event) {
    if (event.type !== "click" || this.isConnected || !ours(this, event))
      return EventTarget.prototype.dispatchEvent.call(this, event);
    follow(this.href);
    return true;
  };
  addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-testid=stMarkdownContainer] a[href]");
    if (!link || link.hash || !ours(link, event)) return;
    event.preventDefault();
    follow(link.href);
  });
})();
