import type { Client } from "./client";
import { h, icon, ICONS, on } from "./dom";
import { canShare, type Ending, ScreenShare } from "./screen";
import type { Strings } from "./strings";

/** The part of the panel that offers sharing the screen, asks first, and says while it lasts. */
export class SharePart {
  readonly element: HTMLElement;
  private readonly offer: HTMLElement;
  private readonly ask: HTMLElement;
  private readonly bar: HTMLElement;
  private readonly yes: HTMLElement;
  private readonly stopButton: HTMLElement;
  private readonly said: HTMLElement;
  private share: ScreenShare | null = null;
  private allowed = false;
  private starting = false;

  constructor(
    private readonly client: Client,
    private readonly strings: Strings,
  ) {
    const s = strings;
    this.offer = h("button", { class: "person", type: "button", hidden: true }, icon(...ICONS.screen), s.share);
    this.yes = h("button", { class: "main", type: "button" }, s.shareStart);
    const no = h("button", { class: "person", type: "button" }, s.shareLater);
    this.ask = h("div", { class: "ask", role: "group", "aria-labelledby": "k", hidden: true }, h("p", { id: "k" }, s.shareAsk), h("div", { class: "row" }, this.yes, no));
    this.stopButton = h("button", { class: "person", type: "button" }, icon(...ICONS.stop), s.shareStop);
    this.bar = h("div", { class: "bar", hidden: true }, h("span", {}, s.sharing), this.stopButton);
    this.said = h("p", { class: "line", role: "status" });
    this.element = h("div", { class: "share" }, this.offer, this.ask, this.bar, this.said);
    on(this.offer, "click", () => this.show("ask", this.yes));
    on(no, "click", () => this.show("offer", this.offer));
    on(this.yes, "click", () => this.start());
    on(this.stopButton, "click", () => this.stop(this.offer));
  }

  /** Whether the agent looks at screens. */
  allow(allowed: boolean): void {
    this.allowed = allowed && canShare();
    if (!this.share) this.show("offer");
  }

  /** Ends sharing, if it goes on. */
  stop(focus?: HTMLElement): void {
    this.share?.stop();
    focus?.focus();
  }

  private async start(): Promise<void> {
    if (this.starting || this.share) return;
    this.starting = true;
    this.said.textContent = "";
    try {
      await this.client.begin();
      this.share = await ScreenShare.begin(this.client, (ending) => this.ended(ending));
      this.show("bar", this.stopButton);
      this.said.textContent = this.strings.sharing;
    } catch {
      // The visitor chose nothing, or the browser forbids it here.
      this.share = null;
      this.said.textContent = this.strings.shareEnded;
      this.show("offer", this.offer);
    } finally {
      this.starting = false;
    }
  }

  private ended(ending: Ending): void {
    this.share = null;
    this.said.textContent = ending === "refused" ? this.strings.shareRefused : this.strings.shareEnded;
    this.show("offer");
  }

  private show(part: "offer" | "ask" | "bar", focus?: HTMLElement): void {
    this.offer.hidden = part !== "offer" || !this.allowed;
    this.ask.hidden = part !== "ask";
    this.bar.hidden = part !== "bar";
    this.element.classList.toggle("on", part === "bar");
    focus?.focus();
  }
}
