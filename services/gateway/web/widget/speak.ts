/** Says an answer to screen readers sentence by sentence, politely, not token by token. */
export class Speaker {
  readonly region: HTMLElement;
  private rest = "";

  constructor() {
    this.region = document.createElement("div");
    this.region.className = "sr";
    this.region.setAttribute("aria-live", "polite");
    this.region.setAttribute("role", "status");
  }

  /** More streamed text. */
  feed(text: string): void {
    this.rest += text;
    const ends = [...this.rest.matchAll(/[.!?…؟。！？]+["'”’)]*\s|\n+/g)];
    const last = ends.at(-1);
    if (!last) return;
    const cut = last.index + last[0].length;
    this.say(this.rest.slice(0, cut));
    this.rest = this.rest.slice(cut);
  }

  /** The text is whole: what is left is said. */
  finish(): void {
    this.say(this.rest);
    this.rest = "";
  }

  say(text: string): void {
    const words = text.replace(/[*_`#>[\]]+/g, "").trim();
    if (!words) return;
    const line = document.createElement("p");
    line.textContent = words;
    this.region.append(line);
    while (this.region.childElementCount > 6) this.region.firstElementChild!.remove();
  }
}
