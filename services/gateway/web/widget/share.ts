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
  private readonly label: HTMLElement;
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
    this.label = h("span", {}, s.sharing);
    this.bar = h("div", { class: "bar", hidden: true }, this.label, this.stopButton);
    this.said = h("p", { class: "line", role: "status" });
    this.element = h("div", { class: "share", hidden: true }, this.offer, this.ask, this.bar, this.said);
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
      this.share = await ScreenShare.begin(this.client, {
        ended: (ending) => this.ended(ending),
        arriving: (arrives) => this.goesOn(arrives),
      });
      this.show("bar", this.stopButton);
      this.goesOn(true);
    } catch (error) {
      this.share = null;
      // The visitor chose nothing, or the browser forbids it here; else the gateway is away.
      this.said.textContent = error instanceof DOMException ? this.strings.shareNone : this.strings.off;
      this.show("offer", this.offer);
    } finally {
      this.starting = false;
    }
  }

  private goesOn(arrives: boolean): void {
    const words = arrives ? this.strings.sharing : this.strings.shareWaiting;
    this.label.textContent = words;
    this.said.textContent = words;
  }

  private ended(ending: Ending): void {
    this.share = null;
    this.said.textContent = ending === "refused" ? this.strings.shareRefused : this.strings.shareEnded;
    this.show("offer", this.stopButton.matches(":focus") ? this.offer : undefined);
  }

  private show(part: "offer" | "ask" | "bar", focus?: HTMLElement): void {
    this.offer.hidden = part !== "offer" || !this.allowed;
    this.ask.hidden = part !== "ask";
    this.bar.hidden = part !== "bar";
    // The bar says it already: this is for those who don't see it.
    this.said.classList.toggle("sr", part === "bar");
    this.element.hidden = part === "offer" && !this.allowed;
    focus?.focus();
  }
}
