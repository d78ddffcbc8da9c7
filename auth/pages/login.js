(function () {
  "use strict";
  // The part of an address after "#" never reaches the gateway. Browsers carry it
  // along to this page; here it is put into the return target, so that it is there
  // again after signing in. Browsers leave these bare, and they mean nothing there.
  var hash = location.hash.replace(/%(?![0-9a-f]{2})/gi, "%25").replace(/\\/g, "%5C");
  if (hash) {
    document.querySelectorAll("a[data-rd]").forEach(function (a) {
      var url = new URL(a.href);
      url.searchParams.set("rd", a.dataset.rd + hash);
      a.href = url.href;
    });
    document.querySelectorAll("input[name=rd]").forEach(function (input) {
      if (input.value.indexOf("#") < 0) input.value += hash;
    });
  }
  // The code of an invitation comes there too. It is good once, and has no business in the
  // history of the browser.
  var code = document.querySelector("input[data-code]");
  if (code && hash) {
    code.value = hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
  }
  var go = document.querySelector("a[data-go]");
  if (go) location.replace(go.href);

  // A password may be looked at while it is typed. It is hidden again before it is sent:
  // browsers offer to fill in what was typed into a field of text.
  document.querySelectorAll("button[data-show]").forEach(function (button) {
    var input = document.getElementById(button.dataset.show), said = document.querySelector("[role=status]");
    var show = function (on) {
      input.type = on ? "text" : "password";
      button.setAttribute("aria-pressed", on);
      if (said) said.textContent = on ? said.dataset.shown : said.dataset.hidden;
    };
    button.hidden = false;
    button.addEventListener("click", function () { show(input.type === "password"); });
    input.form.addEventListener("submit", function () { if (input.type === "text") show(false); });
  });

  // Codes that are shown once have to get somewhere.
  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    var said = document.querySelector("[data-copied]");
    button.hidden = !navigator.clipboard; // which there is at https alone
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText.trim()).then(function () {
        said.textContent = said.dataset.copied;
        said.className = "note";
      });
    });
  });
  document.querySelectorAll("button[data-print]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () { window.print(); });
  });
})();
