// Keeps a page in step with its sign-in at the gateway. It sees no token.
(() => {
  "use strict";
  if (window.__evergate) return;
  window.__evergate = 1;
  const opts = document.currentScript?.dataset || {}, lead = +opts.warn || 120, ask = fetch.bind(window);
  const tabs = new BroadcastChannel("evergate");
  if (document.querySelector("[data-evergate-ended]")) return tabs.postMessage({ended: true});

  let user, over, warned, looked, failed = 0, timer, box;

  const event = (name, detail) => dispatchEvent(new CustomEvent("evergate:" + name, {detail, cancelable: true}));

  // Styles are set one by one, which no Content-Security-Policy minds.
  const hide = () => box = box?.remove();
  const show = (text, label, act) => {
    hide();
    if (!("banner" in opts)) return;
    box = document.createElement("div");
    box.id = "evergate-banner";
    box.role = "alert";
    Object.assign(box.style, {position: "fixed", left: 0, right: 0, bottom: 0, zIndex: 2147483647, padding: ".8em",
      background: "#222", color: "#fff", font: "16px sans-serif", textAlign: "center"});
    box.append(text);
    for (const [name, click] of [[label, act], ["Close", hide]]) if (name) {
      const b = document.createElement("button");
      b.textContent = name;
      b.style.marginLeft = "1em";
      b.onclick = click;
      box.append(b);
    }
    document.body.append(box);
  };

  const next = (seconds) => {
    clearTimeout(timer);
    timer = setTimeout(look, Math.min(seconds * 1e3, 2147483647));
  };

  const live = (s) => {
    const before = user, was = over, idle = s.idle_ends_in ?? Infinity, ends = Math.min(s.ends_in ?? Infinity, idle);
    user = s.user;
    over = false;
    if (was || before !== user) tabs.postMessage({user});
    if (was) hide();
    if (before && before !== user) {
      if (event("changed", {user, before})) show(`You are signed in as ${user} now.`, "Load the page again", () => location.reload());
    } else if (before && was) event("resumed", {user});
    if (ends > lead) {
      if (warned) hide();
      warned = false;
      return next(ends - lead);
    }
    if (!warned && event("ending", {seconds: ends, idle: ends === idle})) {
      const at = new Date(Date.now() + ends * 1e3).toLocaleTimeString();
      if (ends === idle) show(`You will be signed out at ${at}.`, "Stay signed in", () => look(true));
      else show(`Your sign-in ends at ${at}. Save your work.`);
    }
    warned = true;
    next(Math.min(ends + 5, 15));
  };

  const ended = (p) => {
    clearTimeout(timer);
    if (over) return;
    over = true;
    warned = false;
    tabs.postMessage({ended: true});
    if (user && event("ended", p)) show("You are signed out.", "Sign in again", () => open(p.login_url, "_blank", "noopener"));
  };

  // A look is no use of the session, and does not keep it.
  const look = async (use) => {
    looked = Date.now();
    try {
      const res = await ask("/.evergate/session" + (use === true ? "" : "?glance=1"), {cache: "no-store"}), s = await res.json();
      if (res.ok) live(s);
      else if (res.status === 401) ended(s);
      else throw s;
      failed = 0;
    } catch {
      next(30 * 2 ** Math.min(failed++, 5));
    }
  };

  tabs.onmessage = ({data}) => (data.ended ? !over : over || data.user !== user) && look();
  document.addEventListener("visibilitychange", () => document.hidden || Date.now() - looked < 3e4 || look());
  look();

  if (!("fetch" in opts)) return;

  // How long to wait before a request is sent again that nobody acted on; undefined is not.
  const pause = async (res) => {
    const h = res.headers;
    if (res.status === 401 && /\berror="?invalid_token/.test(h.get("www-authenticate"))) return 0; // it is renewed by now
    if (h.get("content-type") !== "application/problem+json") return;
    const p = await res.clone().json();
    if (p.request_id !== h.get("x-request-id")) return;
    if (p.code === "login_required") {
      await look(true);
      return over ? undefined : 0;
    }
    if (/^(unavailable|try_again|upstream_busy)$/.test(p.code)) return Math.min(h.get("retry-after"), 10);
  };

  window.fetch = async (input, init) => {
    const res = await ask(input, init);
    if (res.status !== 401 && res.status !== 503) return res;
    try {
      const isRequest = input instanceof Request, url = new URL(isRequest ? input.url : input, document.baseURI), body = init?.body;
      // A body that was read is gone.
      if (url.origin !== location.origin || body instanceof ReadableStream || isRequest && !body && !/^(GET|HEAD)$/.test(input.method)) return res;
      const wait = await pause(res);
      if (wait === undefined) return res;
      await new Promise((done) => setTimeout(done, wait * 1e3));
      return await ask(input, init);
    } catch {
      return res;
    }
  };
})();
