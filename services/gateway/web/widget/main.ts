// Fleetdesk's chat for any page:
//   <script async src="https://…/widget.js" data-agent="<agent id>"></script>
// Optional: data-lang, data-theme (auto, light, dark), data-position (right, left).

import { Client } from "./client";
import { guarded, h, icon, ICONS, on } from "./dom";
import { Panel } from "./panel";
import { TicketStore } from "./store";
import { type Language, language } from "./strings";
import { applyStyles } from "./styles";

const TAG = "fleetdesk-widget";
const FOCUSABLE = "button:not(:disabled),a[href],textarea,[tabindex='0']";

class Widget {
  private readonly root: HTMLElement;
  private readonly bubble: HTMLElement;
  private readonly shadow: ShadowRoot;
  private readonly client: Client;
  private readonly language: Language;
  private panel: Panel;
  private opener: Element | null = null;

  constructor(script: HTMLScriptElement, agentId: string) {
    const { lang, theme, position } = script.dataset;
    this.language = language(lang ? [lang] : navigator.languages);
    this.client = new Client(new URL(script.src).origin, agentId, new TicketStore(agentId));
    const host = document.createElement(TAG);
    this.shadow = host.attachShadow({ mode: "open" });
    applyStyles(this.shadow, script.nonce ?? "");
    const open = this.language.strings.open;
    this.bubble = h("button", { class: "bubble", type: "button", "aria-label": open, title: open, "aria-expanded": "false" }, icon(...ICONS.chat));
    this.root = h("div", { class: "root", dir: this.language.dir, lang: this.language.lang }, this.bubble);
    this.root.classList.toggle("left", position === "left");
    this.panel = this.newPanel();
    this.follow(theme ?? "auto");
    on(this.bubble, "click", () => this.toggle(this.panel.element.hidden !== false));
    on(this.root, "keydown", (event) => this.key(event));
    this.shadow.append(this.root);
    document.body.append(host);
    this.followKeyboard();
    document.addEventListener("visibilitychange", guarded(() => this.panel.shown()));
  }

  private newPanel(): Panel {
    const panel = new Panel(this.client, this.language, () => this.toggle(false), () => this.startOver());
    this.root.append(panel.element);
    return panel;
  }

  private toggle(open: boolean): void {
    this.panel.element.hidden = !open;
    this.root.classList.toggle("open", open);
    this.bubble.setAttribute("aria-expanded", String(open));
    if (open) {
      this.opener = document.activeElement;
      guarded(() => this.panel.begin())();
      this.panel.focus();
    } else {
      this.panel.end();
      const back = this.opener instanceof HTMLElement && this.opener.tagName.toLowerCase() !== TAG ? this.opener : this.bubble;
      (back === document.body ? this.bubble : back).focus();
    }
    this.panel.shown();
  }

  private startOver(): void {
    this.panel.end();
    this.panel.element.hidden = true;
    this.panel.shown();
    this.panel.element.remove();
    this.client.forget();
    this.panel = this.newPanel();
    this.panel.element.hidden = false;
    guarded(() => this.panel.begin())();
    this.panel.focus();
  }

  /** Escape closes; Tab stays inside while the panel is open. */
  private key(event: KeyboardEvent): void {
    if (this.panel.element.hidden) return;
    event.stopPropagation(); // The host page's shortcuts are not meant.
    if (event.key === "Escape") {
      event.preventDefault();
      if (!this.panel.back()) this.toggle(false);
      return;
    }
    if (event.key !== "Tab") return;
    const scope = this.panel.element.querySelector(".source") ?? this.panel.element;
    const stops = [...scope.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((stop) => stop.offsetParent !== null || stop.getClientRects().length > 0);
    const edge = event.shiftKey ? stops[0] : stops.at(-1);
    const inside = stops.includes(this.shadow.activeElement as HTMLElement);
    if (inside && this.shadow.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? stops.at(-1) : stops[0])?.focus();
  }

  private follow(theme: string): void {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const apply = guarded(() => {
      const isDark = theme === "dark" || (theme !== "light" && dark.matches);
      this.root.classList.toggle("dark", isDark);
    });
    apply();
    dark.addEventListener?.("change", apply);
  }

  /** A phone's keyboard takes room away without telling the page: the panel keeps to what is left. */
  private followKeyboard(): void {
    const seen = window.visualViewport;
    seen?.addEventListener("resize", guarded(() => this.root.style.setProperty("--h", `${seen.height}px`)));
  }
}

function script(): HTMLScriptElement | null {
  const current = document.currentScript;
  if (current instanceof HTMLScriptElement && current.dataset.agent) return current;
  return document.querySelector<HTMLScriptElement>("script[data-agent][src*='widget.js']");
}

const tag = script();
const start = guarded(() => {
  const agentId = tag?.dataset.agent;
  if (!tag || !agentId) return console.warn("[fleetdesk] the script tag has no data-agent");
  if (document.querySelector(TAG)) return undefined;
  return new Widget(tag, agentId);
});
if (document.body) start();
else addEventListener("DOMContentLoaded", start);
