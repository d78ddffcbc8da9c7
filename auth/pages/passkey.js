(function () {
  "use strict";
  // A button with data-passkey sends its form with what an authenticator signed: data-make
  // makes a passkey, and data-offered shows those that there are beside the user names too.
  var button = document.querySelector("button[data-passkey]");
  if (!button) return;
  var form = button.form, field = form.elements.passkey, said = form.querySelector("[data-failed]"), waiting, timer;
  field.value = ""; // of before, where a browser puts back what was in a form
  var say = function (text) { said.textContent = text || ""; said.hidden = !text; };
  if (!window.PublicKeyCredential || !navigator.credentials) return say(said.dataset.none);

  // Written out, since browsers of the last two years and managers of passwords lack the methods
  // that do this.
  var bytes = function (text) {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), function (c) { return c.charCodeAt(0); });
  };
  var text = function (buffer) {
    return btoa(String.fromCharCode.apply(null, new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  var read = function (o) {
    o.challenge = bytes(o.challenge);
    if (o.user) o.user.id = bytes(o.user.id);
    (o.allowCredentials || []).concat(o.excludeCredentials || []).forEach(function (c) { c.id = bytes(c.id); });
    return o;
  };
  var written = function (c) {
    var from = c.response, response = {};
    ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"].forEach(function (name) {
      if (from[name]) response[name] = text(from[name]);
    });
    if (from.getTransports) response.transports = from.getTransports();
    return JSON.stringify({ id: c.id, rawId: text(c.rawId), type: c.type, response: response, clientExtensionResults: {} });
  };

  // ask has one question at a time under way: a browser takes no second one.
  var ask = function (mediation) {
    if (waiting) waiting.abort();
    var stop = waiting = new AbortController();
    return fetch(button.dataset.passkey, { method: "POST", redirect: "manual", signal: stop.signal }).then(function (answer) {
      if (!answer.ok) throw new Error("no options");
      return answer.json();
    }).then(function (options) {
      var how = { publicKey: read(options), signal: stop.signal };
      if (mediation) how.mediation = mediation;
      return "make" in button.dataset ? navigator.credentials.create(how) : navigator.credentials.get(how);
    }).then(function (credential) {
      field.value = written(credential);
      form.submit();
    });
  };

  // What is offered beside the user names is a question too, which is over after five minutes: it
  // is put anew, but not while nobody looks at the page.
  var offer = function () {
    clearTimeout(timer);
    if (!("offered" in button.dataset) || button.disabled || !PublicKeyCredential.isConditionalMediationAvailable) return;
    if (document.hidden) return document.addEventListener("visibilitychange", offer, { once: true });
    PublicKeyCredential.isConditionalMediationAvailable().then(function (can) {
      if (!can || button.disabled) return;
      timer = setTimeout(offer, 240000);
      return ask("conditional");
    }).catch(function () {}); // nobody asked for it
  };

  button.hidden = false;
  button.addEventListener("click", function (e) {
    e.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    say("");
    ask().catch(function (err) {
      if (err.message === "no options") return location.reload(); // it says why
      button.disabled = false;
      say(err.name === "InvalidStateError" && said.dataset.there || said.dataset.failed);
      offer();
    });
  });
  // Sent in another way, or come back to: what was signed before is not sent again.
  form.addEventListener("submit", function () {
    clearTimeout(timer);
    field.value = "";
    if (waiting) waiting.abort();
  });
  window.addEventListener("pageshow", function (e) {
    field.value = "";
    if (e.persisted) button.disabled = false;
    offer();
  });
})();
