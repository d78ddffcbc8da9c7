// The live half of the page: an API call, a stream and a WebSocket, each of
// which must survive every renewal of the access token.
"use strict";

const at = (id) => document.getElementById(id);
const show = (id, text) => { at(id).textContent = String(text); };

function clock(iso) {
  const t = new Date(iso);
  return t.getUTCFullYear() < 1970 ? "unknown" : t.toISOString().slice(11, 19) + " UTC";
}

function cells(row, ...content) {
  for (const c of content) {
    const cell = document.createElement(c.tag || "td");
    if (c.tag === "th") cell.scope = "row";
    const text = c.code ? document.createElement("code") : cell;
    text.textContent = c.text;
    if (text !== cell) cell.append(text);
    if (c.note) {
      const small = document.createElement("small");
      small.textContent = c.note;
      cell.append(" ", small);
    }
    row.append(cell);
  }
  return row;
}

function fill(id, rows) {
  at(id).replaceChildren(...rows.map((r) => cells(document.createElement("tr"), ...r)));
}

// ---- the API call, once a second ----

let apiErrors = 0;
let signedOut = false;

function showNow(now) {
  show("user", now.user || "nobody");
  show("countdown", now.token ? now.seconds_left : "–");
  show("tokens-seen", now.tokens_seen);
  show("renewals", now.renewals);
  show("requests", now.requests);
  at("left").value = Math.max(0, now.seconds_left);
  if (now.claims && now.claims.exp > now.claims.iat) at("left").max = now.claims.exp - now.claims.iat;
  if (now.tokens.length) {
    fill("token-list", now.tokens.map((t) => [
      { text: t.name, code: true }, { text: clock(t.issued) }, { text: clock(t.expires) }, { text: clock(t.first_seen) },
    ]));
  }
  if (now.rows) {
    fill("claims", now.rows.map((c) => [{ tag: "th", text: c.name, code: true }, { text: c.value, note: c.note }]));
  }
}

// A gateway answers a script 401 with the place to sign in (problem+json).
async function refused(answer) {
  let login = "/";
  try {
    const url = new URL((await answer.json()).login_url, location.href);
    if (url.origin === location.origin) login = url.href;
  } catch { /* not a gateway that says where */ }
  at("sign-in-again").href = login;
  signedOut = true;
  at("signed-out").hidden = false;
}

async function poll() {
  try {
    const answer = await fetch("/api/now", { cache: "no-store", headers: { Accept: "application/json" } });
    if (answer.status === 401) await refused(answer);
    if (!answer.ok) throw new Error(answer.statusText);
    showNow(await answer.json());
    signedOut = false;
    at("signed-out").hidden = true;
  } catch {
    show("api-errors", ++apiErrors);
  }
  setTimeout(poll, signedOut ? 5000 : 1000);
}

// ---- what stays open ----

// watch keeps a connection open and shows how it does. A lost connection is
// counted as a reconnect when it is tried again. connect(line) opens one.
function watch(name, connect) {
  const line = {
    since: 0,
    lost: 0,
    opened() {
      line.since = performance.now();
      line.status("open");
    },
    closed() {
      line.since = 0;
      line.status("closed");
      setTimeout(() => { show(name + "-reconnects", ++line.lost); connect(line); }, signedOut ? 5000 : 1000);
    },
    status(word) {
      show(name + "-status", word);
      at(name + "-status").className = "state " + word;
    },
    told(o) {
      if (!o.token) return;
      const left = Math.round((new Date(o.expires) - new Date(o.time)) / 1000);
      show(name + "-token", `opened with token ${o.token}, ` +
        (left > 0 ? `which ends in ${left} s` : `which ended ${-left} s ago`));
    },
  };
  setInterval(() => {
    if (line.since) show(name + "-uptime", Math.floor((performance.now() - line.since) / 1000));
  }, 250);
  connect(line);
}

function openStream(line) {
  const stream = new EventSource("/events");
  stream.addEventListener("open", line.opened);
  stream.addEventListener("tick", (e) => line.told(JSON.parse(e.data)));
  stream.addEventListener("error", () => { stream.close(); line.closed(); });
}

let echoes = 0;

function openSocket(line) {
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
  const waiting = new Set();
  let n = 0;
  const talk = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const message = "echo " + ++n;
    waiting.add(message);
    socket.send(message);
  }, 1000);
  socket.addEventListener("open", line.opened);
  socket.addEventListener("message", (e) => {
    if (e.data.startsWith("ping ")) line.told(JSON.parse(e.data.slice(5)));
    else if (waiting.delete(e.data)) show("socket-echoes", ++echoes);
  });
  socket.addEventListener("close", () => { clearInterval(talk); line.closed(); });
}

poll();
watch("stream", openStream);
watch("socket", openSocket);
