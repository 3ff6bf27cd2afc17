import { h, icon, ICONS, on } from "./dom";
import { FOOTNOTE_BASE, markdown, withoutFootnotes } from "./markdown";
import type { Entry } from "./session";
import type { Strings } from "./strings";
import type { Citation } from "./types";

export interface MessageActions {
  cite(citation: Citation, number: number, opener: HTMLElement): void;
  rate(entry: Entry, rating: number): void;
}

/** One message's element; `render` brings it up to date. */
export class MessageView {
  readonly element: HTMLElement;
  private drawn = "";
  private thumbs: HTMLElement[] = [];

  constructor(
    private readonly entry: Entry,
    private readonly strings: Strings,
    private readonly actions: MessageActions,
  ) {
    this.element = h("div", { class: `msg ${entry.role}`, ...(entry.role === "visitor" && { dir: "auto" }) });
    this.render();
  }

  render(): void {
    const { entry, element } = this;
    element.classList.toggle("sending", entry.status === "sending");
    if (entry.id) element.dataset.id = entry.id;
    element.dataset.status = entry.status;
    const state = JSON.stringify([entry.text, entry.status, entry.citations.length]);
    if (state !== this.drawn) {
      this.drawn = state;
      if (entry.role === "visitor") this.drawQuestion();
      else this.drawAnswer();
    }
    this.thumbs.forEach((button, index) => button.setAttribute("aria-pressed", String(entry.rating === (index ? -1 : 1))));
  }

  private drawQuestion(): void {
    this.element.replaceChildren(h("span", { class: "sr" }, `${this.strings.you}: `), this.entry.text);
  }

  private drawAnswer(): void {
    const { entry, strings } = this;
    const by = h("p", { class: "by" }, entry.role === "person" ? strings.staff : strings.agent);
    const body = h("div", { class: "body", dir: "auto" });
    if (entry.text) body.append(this.text());
    else if (entry.status === "answering") body.append(dots(strings.thinking));
    this.element.replaceChildren(by, body, ...this.foot());
  }

  private text(): DocumentFragment {
    const notes = numbered(this.entry.citations);
    return markdown(marked(withoutFootnotes(this.entry.text), this.entry.citations, notes), (number) => {
      const citation = notes.list[number - 1];
      return citation ? this.footnote(citation, number) : document.createTextNode("");
    });
  }

  private footnote(citation: Citation, number: number): HTMLElement {
    const label = `${this.strings.source} ${number}: ${citation.title}`;
    const button = h("button", { class: "cite", type: "button", "aria-label": label, title: citation.title }, String(number));
    on(button, "click", () => this.actions.cite(citation, number, button));
    // The word joiner keeps it on the line of the word before it.
    return h("span", { class: "mark" }, "\u2060", button);
  }

  private foot(): HTMLElement[] {
    const { entry, strings } = this;
    this.thumbs = [];
    if (entry.status === "canceled") return [h("p", { class: "note" }, strings.stopped)];
    if (entry.status === "failed") return [h("p", { class: "note" }, strings.failed)];
    if (entry.role !== "agent" || entry.status !== "completed" || entry.outcome !== "answered") return [];
    this.thumbs = [this.thumb(1, strings.helpful, ICONS.up), this.thumb(-1, strings.unhelpful, ICONS.down)];
    return [h("div", { class: "foot", role: "group" }, ...this.thumbs)];
  }

  private thumb(rating: number, label: string, paths: readonly string[]): HTMLElement {
    const button = h("button", { type: "button", "aria-label": label, title: label, "aria-pressed": "false" }, icon(...paths));
    on(button, "click", () => this.actions.rate(this.entry, this.entry.rating === rating ? 0 : rating));
    return button;
  }
}

function dots(label: string): HTMLElement {
  return h("span", { class: "dots", role: "img", "aria-label": label }, h("i"), h("i"), h("i"));
}

interface Notes {
  list: Citation[];
  number: Map<Citation, number>;
}

/** Gives each quote one number, however often it is cited. */
function numbered(citations: Citation[]): Notes {
  const list: Citation[] = [];
  const numbers = new Map<string, number>();
  const number = new Map<Citation, number>();
  for (const citation of citations) {
    const key = `${citation.chunk_id}:${citation.start}:${citation.end}`;
    if (!numbers.has(key)) numbers.set(key, list.push(citation));
    number.set(citation, numbers.get(key)!);
  }
  return { list, number };
}

/** The text with a footnote character behind each cited part; positions are code points. */
function marked(text: string, citations: Citation[], notes: Notes): string {
  const points = [...text];
  const places = citations.map((citation, order) => ({
    order,
    at: Math.min(citation.answer_end || points.length, points.length),
    mark: String.fromCharCode(FOOTNOTE_BASE + Math.min(notes.number.get(citation)!, 500)),
  }));
  places.sort((left, right) => right.at - left.at || right.order - left.order);
  for (const { at, mark } of places) if (points[at] !== mark) points.splice(at, 0, mark);
  return points.join("");
}
