// What the dashboard does beyond plain HTML. Every page works without it.

import "htmx.org";
import { copyButtons } from "./copy";
import { dialogs } from "./dialogs";
import { keyboard } from "./keyboard";
import { manners } from "./manners";
import { uploads } from "./uploads";

/** Closes open menus on a click elsewhere and on Escape. */
function menus(): void {
  const close = (except: EventTarget | null) => {
    for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.pop[open]")) {
      if (except instanceof Node && menu.contains(except)) continue;
      if (menu.contains(document.activeElement)) menu.querySelector("summary")?.focus();
      menu.open = false;
    }
  };
  document.addEventListener("click", (event) => close(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close(null);
  });
}

/** Relative times go on while a page stays open. */
function times(): void {
  const format = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"]];
  const words = (then: number): string | null => {
    let value = (then - Date.now()) / 1000;
    if (value > -45) return "just now";
    for (const [size, unit] of steps) {
      if (Math.abs(value) < size) return format.format(Math.round(value), unit);
      value /= size;
    }
    return null; // Older than a month: the server's date stands.
  };
  setInterval(() => {
    for (const element of document.querySelectorAll<HTMLTimeElement>("time[data-ago]")) {
      const text = words(Date.parse(element.dateTime));
      if (text !== null && element.textContent !== text) element.textContent = text;
    }
  }, 30_000);
}

/** A slider's number follows while it moves. */
function sliders(): void {
  document.addEventListener("input", (event) => {
    const slider = event.target as HTMLInputElement;
    const shown = slider.dataset?.shows && document.getElementById(slider.dataset.shows);
    if (shown) shown.textContent = `${slider.value} %`;
  });
}

/** Marks a form once something was typed into it or chosen in it, until it is sent. */
function changes(): void {
  document.addEventListener("input", (event) => {
    (event.target as HTMLInputElement).form?.classList.add("is-changed");
  });
}

/** What is brought up to date every few seconds rests while nobody looks at the page. */
function polling(): void {
  document.addEventListener("every", (event) => {
    if (document.hidden) event.stopImmediatePropagation();
  }, true);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll('[hx-trigger*="every"]')) element.dispatchEvent(new CustomEvent("every"));
  });
}

changes();
menus();
polling();
sliders();
times();
keyboard();
dialogs();
copyButtons();
manners();
uploads();

// After a link opened another answer's pane in place, the quote asked for is brought into view.
document.addEventListener("htmx:after:swap", () => {
  const goal = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const top = goal?.getBoundingClientRect().top ?? 0;
  if (top < 0 || top > innerHeight - 80) goal?.scrollIntoView({ block: "start" });
});
