// Keeps an open page up to date. The server sends the cells that it rendered; here they are
// put in their places, as text and never as markup.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const make = (name, text) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const tones = ["good", "warn", "bad", "quiet"];

  const fill = (e, cell) => {
    e.classList.remove(...tones);
    if (cell.c) e.classList.add(cell.c);
    const parts = [cell.t];
    if (cell.at) {
      parts[0] = make("time", cell.t);
      parts[0].dateTime = cell.at;
    }
    if (cell.m) parts.push(make("small", cell.m));
    e.replaceChildren(...parts);
    return e;
  };

  const fillRows = (body, rows) => {
    const all = rows.map((row) => {
      const tr = make("tr");
      tr.append(...row.map((cell, i) => {
        const e = make(i ? "td" : "th");
        if (!i) e.scope = "row";
        return fill(e, cell);
      }));
      return tr;
    });
    if (!all.length) {
      const td = make("td", body.dataset.none);
      td.className = "quiet";
      td.colSpan = Number(body.dataset.columns);
      all.push(make("tr"));
      all[0].append(td);
    }
    body.replaceChildren(...all);
  };

  const setState = (s) => {
    const e = find("state");
    e.className = "state " + s.level;
    e.replaceChildren(...s.lines.map((line) => make("p", line)));
    document.title = s.title + " – Evergate";
  };

  // The chart is drawn anew where colours or sizes change: a canvas knows no style sheet.
  let chart, last;
  const draw = () => {
    const box = find("chart");
    if (!box || !last || !window.uPlot) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue("--" + name).trim();
    const axis = { stroke: color("quiet"), grid: { stroke: color("hair"), width: 1 }, ticks: { stroke: color("hair"), width: 1 } };
    if (chart) chart.destroy();
    else box.replaceChildren();
    chart = new uPlot({
      width: Math.max(box.clientWidth, 200),
      height: 170,
      cursor: { show: false },
      legend: { show: false },
      scales: { y: { range: (u, least, most) => [0, Math.max(most, 0.2) * 1.1] } },
      axes: [{ ...axis, values: (u, at) => at.map((t) => new Date(t * 1000).toISOString().slice(11, 16)) }, { ...axis, size: 44 }],
      series: [{}, { label: "worked", stroke: color("accent"), width: 2 }, { label: "failed", stroke: color("alert"), width: 2, dash: [6, 3] },
        { label: "refused", stroke: color("warn"), width: 2, dash: [2, 3] }],
    }, values(last), box);
  };
  const values = (c) => [c.values[0].map((_, i, all) => c.end - (all.length - 1 - i) * c.step), ...c.values];
  const setChart = (c) => {
    last = c;
    find("chart").setAttribute("aria-label", c.words);
    if (chart) chart.setData(values(c));
    else draw();
  };
  const setBars = (b) => {
    const box = find("bars");
    if (!box || !b.counts) return;
    box.setAttribute("aria-label", b.words);
    box.querySelectorAll("rect").forEach((rect, i) => {
      const height = Math.floor(b.counts[i] * 100 / b.most);
      rect.setAttribute("y", 100 - height);
      rect.setAttribute("height", height);
    });
  };

  const put = (parts) => {
    for (const [name, part] of Object.entries(parts)) {
      const e = find(name);
      if (!e) continue;
      if (name === "state") setState(part);
      else if (name === "chart") setChart(part);
      else if (name === "bars") setBars(part);
      else if (name.startsWith("rows-")) fillRows(e, part);
      else fill(e, part);
    }
  };

  const say = (text, bad) => {
    const e = find("link");
    e.classList.toggle("bad", Boolean(bad));
    if (e.textContent !== text) e.textContent = text;
  };
  let source;
  const open = () => {
    source = new EventSource("events?page=" + document.body.dataset.page);
    source.onmessage = (e) => {
      say("Updated each second.");
      put(JSON.parse(e.data));
    };
    source.onerror = () => say(source.readyState === EventSource.CLOSED
      ? "Not updated any more: you are signed out, or the gateway has changed. Load the page again."
      : "No connection to the gateway, trying again. What you see is as old as it says.", true);
  };

  const pause = find("pause");
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) {
      source.close();
      say("Paused.");
    } else {
      say("");
      open();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (find("chart")) {
    new ResizeObserver(([e]) => {
      if (chart && e.contentRect.width) chart.setSize({ width: e.contentRect.width, height: 170 });
    }).observe(find("chart"));
  }
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (e) => {
    if (e.persisted && pause.getAttribute("aria-pressed") !== "true") open();
  });
  open();
})();
