// The address always says the whole view, each choice is a step of the browser's history, and no
// link loads the app anew: Streamlit leaves links in figures and texts to the browser, which would
// lose the session. What this relies on in Streamlit and Vega is checked by tests/e2e/test_links.py.
(() => {
  // Not `skillscope`: a heading of this name has it as its id, and is a property of the window.
  if (window.skillscopePage) return;

  // What a run of a page asks for. React may run a script again, at a time when the address is
  // another one: only what is new is done.
  let last = 0;
  const once = (act) => (time, ...rest) => {
    if (time <= last) return;
    last = time;
    act(...rest);
  };

  // After a run of the page at `path`: all that its address says. Somebody has chosen something, or
  // else the address of a page that was just opened is completed (pages/common/address.py).
  const show = (path, view, chosen) => {
    if (location.pathname.split("/").pop() !== path) return; // another page was opened meanwhile
    const search = new URLSearchParams(embedding().concat(view)).toString();
    if (search === new URLSearchParams(location.search).toString()) return;
    const address = location.pathname + (search && `?${search}`);
    history[chosen ? "pushState" : "replaceState"]({}, "", address);
  };
  const embedding = () =>
    [...new URLSearchParams(location.search)].filter(([name]) => name.startsWith("embed"));

  // What Streamlit does after Back, it does for a new address, too.
  const follow = (link) => {
    const address = new URL(link, location.href);
    for (const [name, value] of embedding()) address.searchParams.append(name, value);
    history.pushState({}, "", address);
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

  window.skillscopePage = { show: once(show), go: once(follow) };
})();
