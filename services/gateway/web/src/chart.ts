// A chart of days: stacked bars drawn from the table beside it, so both always say the same.

import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, Tooltip } from "chart.js";

Chart.register(BarController, BarElement, CategoryScale, LinearScale, Legend, Tooltip);

const HUES = [252, 190, 155, 65, 330, 295, 25, 110];

/** Colours that differ in lightness too, so that they can be told apart without hue. */
function colour(index: number, hue: string | undefined, dark: boolean): string {
  const lightness = (dark ? 78 : 46) + (index % 2 === 0 ? 0 : dark ? -20 : 22);
  return `oklch(${lightness}% 0.1 ${hue ?? HUES[index % HUES.length]})`;
}

/** Cents where cents say something, else three significant digits. */
function money(nanos: number): string {
  const dollars = nanos / 1e9;
  const digits = dollars === 0 || dollars >= 0.05
    ? { minimumFractionDigits: 2, maximumFractionDigits: 2 }
    : { maximumSignificantDigits: 3 };
  return `$${dollars.toLocaleString("en", digits)}`;
}

function day(iso: string): string {
  return new Date(`${iso}T00:00Z`).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

function series(table: HTMLTableElement): { labels: string[]; sets: { label: string; hue?: string; data: number[] }[] } {
  const heads = [...table.querySelectorAll<HTMLElement>("thead th[data-series]")];
  const rows = [...table.querySelectorAll("tbody tr")];
  const labels = rows.map((row) => row.querySelector<HTMLElement>("[data-day]")?.dataset.day ?? "");
  const sets = heads.map((head, index) => ({
    label: head.textContent?.trim() ?? "",
    hue: head.dataset.hue,
    data: rows.map((row) => Number(row.querySelectorAll<HTMLElement>("[data-value]")[index]?.dataset.value ?? 0)),
  }));
  return { labels, sets };
}

function resolved(name: string): string {
  const probe = document.createElement("span");
  probe.className = name;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const UNITS: Record<string, (value: number) => string> = { money, count: (value) => value.toLocaleString("en") };

function draw(canvas: HTMLCanvasElement, table: HTMLTableElement): Chart {
  const said = UNITS[canvas.dataset.unit ?? ""] ?? money;
  const step = canvas.dataset.unit === "count" ? { precision: 0 } : {};
  const style = getComputedStyle(document.body);
  Chart.defaults.font.family = style.fontFamily;
  const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
  const { labels, sets } = series(table);
  const muted = resolved("text-muted");
  const line = resolved("text-line");
  return new Chart(canvas, {
    type: "bar",
    data: {
      labels,
      datasets: sets.map(({ hue, ...set }, index) => ({ ...set, backgroundColor: colour(index, hue, dark), borderRadius: 2, maxBarThickness: 36 })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: true, grid: { display: false }, border: { color: line }, ticks: { color: muted, maxRotation: 0, autoSkipPadding: 16, callback: (_, index) => day(labels[index] ?? "") } },
        y: {
          stacked: true,
          beginAtZero: true,
          border: { display: false },
          grid: { color: line },
          ticks: { color: muted, maxTicksLimit: 5, ...step, callback: (value) => said(Number(value)) },
        },
      },
      plugins: {
        legend: { position: "bottom", align: "start", labels: { color: style.color, boxWidth: 10, boxHeight: 10 } },
        tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${said(Number(item.raw))}` } },
      },
    },
  });
}

const canvas = document.querySelector<HTMLCanvasElement>("canvas[data-chart]");
const table = canvas && document.getElementById(canvas.dataset.chart ?? "");
if (canvas && table instanceof HTMLTableElement) {
  let chart = draw(canvas, table);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    chart.destroy();
    chart = draw(canvas, table);
  });
}
