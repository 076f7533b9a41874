/* Draws the history of metrics: gaps stay gaps, and the thresholds of simple rules are lines. */
(() => {
  "use strict";

  const lang = document.documentElement.lang;
  const zone = document.body.dataset.zone || undefined;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const strokes = ["--accent", "--ok", "--warn", "--unknown"];
  const format = (options) => new Intl.DateTimeFormat(lang, { timeZone: zone, hour12: false, ...options });
  const hours = format({ hour: "2-digit", minute: "2-digit" });
  const days = format({ month: "short", day: "numeric" });
  const full = format({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const amount = (value, series) =>
    value === null || value === undefined ? "–"
      : value.toLocaleString(lang, { minimumFractionDigits: series.decimals, maximumFractionDigits: series.decimals })
        + (series.uom ? (["%", "°"].includes(series.uom) ? "" : "\u00a0") + series.uom : "");

  /* A missing stretch becomes an explicit null, so that no line is drawn across it. Thinned series have wide steps
     everywhere: there a gap is what is far wider than the usual step. */
  function withGaps(series) {
    const points = series.points;
    const steps = points.slice(1).map((point, i) => point[0] - points[i][0]).sort((a, b) => a - b);
    const usual = steps.length ? steps[Math.floor(steps.length / 2)] : 0;
    const gap = Math.max(series.gap, usual * 4);
    const xs = [];
    const ys = [];
    points.forEach(([at, value], i) => {
      if (i && at - points[i - 1][0] > gap) {
        xs.push((points[i - 1][0] + at) / 2000);
        ys.push(null);
      }
      xs.push(at / 1000);
      ys.push(value);
    });
    return [xs, ys];
  }

  function summary(series) {
    const values = series.points.map((point) => point[1]).filter((value) => value !== null);
    if (!values.length) return "";
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const range = low === high ? "" : ` (${amount(low, series)} … ${amount(high, series)})`;
    return amount(values[values.length - 1], series) + range;
  }

  function valueRange(history, low, high) {
    const span = Math.max(high - low, Math.abs(high) * 0.02, 1e-9);
    for (const line of history.thresholds) { // near enough to matter, without flattening the curve
      if (line.value > high && line.value - high < span * 3) high = line.value;
      if (line.value < low && low - line.value < span * 3) low = line.value;
    }
    const margin = (high - low || span) * 0.08;
    const floor = low >= 0 && low - margin < 0 ? 0 : low - margin;
    return [floor, high + margin];
  }

  function drawThresholds(plot, history) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${11 * ratio}px ${css("--font")}`;
    const worded = []; // where two lines stand too close, the words of the first count; all of them stand beneath the curve
    for (const line of history.thresholds) {
      const y = Math.round(plot.valToPos(line.value, "y", true));
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = css(`--${line.tone}`);
      ctx.lineWidth = ratio;
      ctx.setLineDash(line.clears ? [1.5 * ratio, 3 * ratio] : [4 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      if (worded.some((other) => Math.abs(other - y) < 12 * ratio)) continue;
      worded.push(y);
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom"; // uPlot leaves it in the middle, and the line would strike the words through
      ctx.fillText(line.text, bbox.left + 4 * ratio, y - 2 * ratio);
    }
    for (const [at, name] of [[history.raised, "--bad"], [history.cleared, "--ok"]]) {
      if (!at) continue;
      const x = Math.round(plot.valToPos(at / 1000, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = css(name);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  /* Two rules beside each other: the alarms of the old one in a band above the curve, those of the new one below it. */
  function drawSpans(plot, history) {
    const { ctx, bbox } = plot;
    const band = 6 * (devicePixelRatio || 1);
    ctx.save();
    for (const [from, to, side] of history.spans || []) {
      const left = Math.max(bbox.left, plot.valToPos(from / 1000, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(to / 1000, "x", true));
      if (right < left) continue;
      const wide = Math.max(right - left, 2);
      ctx.fillStyle = css(side === "old" ? "--muted" : "--bad");
      ctx.fillRect(left, side === "old" ? bbox.top : bbox.top + bbox.height - band, wide, band);
      ctx.globalAlpha = 0.1;
      ctx.fillRect(left, bbox.top, wide, bbox.height);
      ctx.globalAlpha = 1;
    }
    ctx.restore();
  }

  /* The life of an alarm: pending, suppressed, active; the words stand where there is room, and beneath the curve. */
  function drawStretches(plot, history) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${11 * ratio}px ${css("--font")}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    for (const one of history.stretches || []) {
      const left = Math.max(bbox.left, plot.valToPos(one.start / 1000, "x", true));
      const right = Math.min(bbox.left + bbox.width, plot.valToPos(one.end / 1000, "x", true));
      if (right < left) continue;
      ctx.fillStyle = css(`--${one.tone}`);
      ctx.globalAlpha = 0.12;
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
      ctx.globalAlpha = 1;
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), 3 * ratio);
      if (ctx.measureText(one.text).width < right - left - 8 * ratio) ctx.fillText(one.text, left + 4 * ratio, bbox.top + 6 * ratio);
    }
    ctx.restore();
  }

  function options(history, width) {
    const seconds = (history.end - history.start) / 1000;
    const axis = { stroke: css("--muted"), font: `11px ${css("--font")}`, grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    return {
      width,
      height: 160,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone || "UTC"),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: [history.start / 1000, history.end / 1000] },
        y: { range: (plot, low, high) => (low === null ? [0, 1] : valueRange(history, low, high)) },
      },
      axes: [
        { ...axis, size: 28, values: (plot, splits) => splits.map((at) => (seconds > 172800 ? days : hours).format(at * 1000)) },
        { ...axis, size: 56, values: (plot, splits) => splits.map((value) => value.toLocaleString(lang, { maximumFractionDigits: 4 })) },
      ],
      series: [
        { label: history.timeWord, value: (plot, at) => (at ? full.format(at * 1000) : "–") },
        ...history.series.map((series, i) => ({
          label: series.name,
          stroke: css(strokes[i % strokes.length]),
          width: 1.5,
          points: { show: series.points.length < 3, size: 4 },
          value: (plot, value) => amount(value, series),
        })),
      ],
      hooks: { draw: [(plot) => { drawStretches(plot, history); drawSpans(plot, history); drawThresholds(plot, history); }] },
    };
  }

  function draw(figure, history) {
    const plot = figure.querySelector(".plot");
    const empty = history.series.every((series) => !series.points.length);
    figure.querySelector(".nothing").hidden = !empty;
    figure.querySelector(".summary").textContent = empty ? "" : history.series.map(summary).filter(Boolean).join(" · ");
    plot.hidden = empty;
    figure.classList.toggle("is-empty", empty);
    if (figure.plot) figure.plot.destroy();
    figure.plot = null;
    figure.history = history;
    if (empty) return;
    const data = uPlot.join(history.series.map(withGaps));
    figure.plot = new uPlot(options(history, plot.clientWidth), data, plot);
  }

  async function load(figure) {
    try {
      const response = await fetch(figure.dataset.history, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(response.status);
      const marks = { timeWord: figure.dataset.time, raised: Number(figure.dataset.raised), cleared: Number(figure.dataset.cleared), spans: JSON.parse(figure.dataset.spans || "[]") };
      draw(figure, { ...(await response.json()), ...marks });
      figure.querySelector(".failed").hidden = true;
    } catch {
      figure.querySelector(".failed").hidden = false; // the curve drawn before stays, with the note that it is old
    }
    figure.dataset.drawn = "yes";
  }

  const redraw = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const figure = target.closest("[data-history]");
      if (figure.plot && target.clientWidth && figure.plot.width !== target.clientWidth) {
        figure.plot.setSize({ width: target.clientWidth, height: 160 });
      }
    }
  });
  const figures = [...document.querySelectorAll("[data-history]")];
  for (const figure of figures) {
    load(figure);
    redraw.observe(figure.querySelector(".plot"));
  }
  setInterval(() => { if (!document.hidden) figures.forEach((f) => { if (f.dataset.refresh) load(f); }); }, 60000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach((f) => { if (f.history) draw(f, f.history); }));
})();
