import { Client, Dropped, Refused } from "./client";
import { guarded, h, icon, ICONS, on } from "./dom";
import { safeUrl } from "./markdown";
import { MessageView } from "./message";
import { type Entry, Session, type View } from "./session";
import { SharePart } from "./share";
import { Speaker } from "./speak";
import type { Language, Strings } from "./strings";
import type { Agent, Citation } from "./types";

const LONGEST_BYTES = 16_000;

/** The open chat: everything inside the panel. */
export class Panel implements View {
  readonly element: HTMLElement;
  private readonly strings: Strings;
  private readonly session: Session;
  private readonly speaker = new Speaker();
  private readonly share: SharePart;
  private readonly views = new Map<Entry, MessageView>();
  private readonly log: HTMLElement;
  private readonly title: HTMLElement;
  private readonly intro: HTMLElement;
  private readonly input: HTMLTextAreaElement;
  private readonly sendButton: HTMLButtonElement;
  private readonly person: HTMLButtonElement;
  private readonly error: HTMLElement;
  private readonly line: HTMLElement;
  private readonly restart: HTMLElement;
  private source: HTMLElement | null = null;
  private sourceOpener: HTMLElement | null = null;
  private retry: (() => unknown) | null = null;
  private started = false;
  private ready = false;

  constructor(
    private readonly client: Client,
    language: Language,
    private readonly close: () => void,
    private readonly fresh: () => void,
  ) {
    const s = (this.strings = language.strings);
    this.session = new Session(client, this);
    this.share = new SharePart(client, s);
    this.title = h("h2", { id: "t" }, s.title);
    this.person = h("button", { class: "person", type: "button" }, icon(...ICONS.person), s.person) as HTMLButtonElement;
    const shut = h("button", { class: "square", type: "button", "aria-label": s.close, title: s.close }, icon(...ICONS.close));
    this.intro = h("div", { class: "msg agent" });
    this.log = h("div", { class: "log", tabindex: "0", role: "log", "aria-live": "off", "aria-labelledby": "t" }, this.intro);
    this.input = h("textarea", { rows: "1", "aria-label": s.placeholder, placeholder: s.placeholder }) as HTMLTextAreaElement;
    this.sendButton = h("button", { type: "submit" }) as HTMLButtonElement;
    const form = h("form", { class: "box" }, this.input, this.sendButton);
    this.error = h("div", { role: "alert" });
    this.line = h("p", { class: "line", role: "status" });
    this.restart = h("button", { type: "button", hidden: true }, s.restart);
    this.element = h(
      "section",
      { class: "panel", role: "dialog", "aria-modal": "true", "aria-labelledby": "t", hidden: true },
      h("header", { class: "top" }, h("div", {}, this.title, h("p", {}, s.ai)), this.person, shut),
      this.log,
      this.speaker.region,
      this.line,
      this.error,
      this.share.element,
      form,
      h("footer", { class: "end" }, h("span", {}, s.disclosure), this.restart),
    );
    on(shut, "click", () => this.close());
    on(this.person, "click", () => this.handOff());
    on(this.restart, "click", () => this.fresh());
    on(form, "submit", (event) => this.submit(event));
    on(this.input, "keydown", (event) => this.typed(event));
    on(this.input, "input", () => this.buttons());
    this.welcome(null);
    this.buttons();
  }

  /** The first time: says hello and brings back what was said before. */
  async begin(): Promise<void> {
    if (this.started) return;
    this.started = true;
    this.client.agent().then((agent) => this.welcome(agent), guarded(() => undefined));
    try {
      await this.session.restore();
    } catch (error) {
      this.started = false;
      this.complain(error, () => this.begin());
    }
    this.ready = this.started;
    this.listen();
  }

  /** The panel was shown or put away, the page came to the front or left it. */
  shown(): void {
    this.listen();
    if (!this.element.hidden) this.bottom();
  }

  /** The conversation is over for this page: nothing goes on being sent. */
  end(): void {
    this.share.stop();
  }

  focus(): void {
    (this.source?.querySelector("button") ?? this.input).focus();
  }

  /** Escape closes the source first; false when there was none. */
  back(): boolean {
    if (!this.source) return false;
    this.source.remove();
    this.source = null;
    this.sourceOpener?.focus();
    return true;
  }

  show(entry: Entry): void {
    const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
    const known = this.views.get(entry);
    if (known) known.render();
    else this.append(entry);
    if (near || entry.role === "visitor") this.bottom();
    if (entry.status === "completed" && entry.role === "agent") this.speaker.finish();
  }

  drop(entry: Entry): void {
    this.views.get(entry)?.element.remove();
    this.views.delete(entry);
  }

  heard(_: Entry, text: string): void {
    this.speaker.feed(text);
  }

  state(session: Session): void {
    const { status, reconnecting } = session;
    const s = this.strings;
    const about = status === "taken_over" ? s.personHere : status === "waiting" ? s.personAsked : "";
    const words = reconnecting ? s.reconnecting : about;
    if (this.line.textContent !== words) this.line.textContent = words;
    this.person.disabled = status === "waiting" || status === "taken_over";
    this.buttons();
    this.listen();
  }

  private append(entry: Entry): void {
    const view = new MessageView(entry, this.strings, {
      cite: (citation, number, opener) => this.openSource(citation, number, opener),
      rate: guarded((rated: Entry, rating: number) => this.session.rate(rated, rating)),
    });
    this.views.set(entry, view);
    const { entries } = this.session;
    const next = entries.slice(entries.indexOf(entry) + 1).map((later) => this.views.get(later)?.element);
    this.log.insertBefore(view.element, next.find((element) => element) ?? null);
    this.intro.querySelector(".asks")?.remove();
    this.restart.hidden = false;
  }

  private welcome(agent: Agent | null): void {
    const s = this.strings;
    if (agent) this.share.allow(agent.screen_sharing === true);
    this.title.textContent = agent?.name || s.title;
    this.intro.replaceChildren(
      h("p", { class: "by" }, s.agent),
      h("div", { class: "body", dir: "auto" }, h("p", {}, agent?.greeting || s.greeting)),
    );
    const questions = this.views.size ? [] : (agent?.suggested_questions ?? []);
    if (questions.length === 0) return;
    const list = h("ul", { class: "asks", "aria-label": s.suggested });
    for (const question of questions.slice(0, 5)) {
      const button = h("button", { type: "button", dir: "auto" }, question);
      on(button, "click", () => this.ask(question));
      list.append(h("li", {}, button));
    }
    this.intro.append(list);
  }

  /** While the chat is looked at, what persons write comes by a stream of its own. */
  private listen(): void {
    const isSeen = !this.element.hidden && document.visibilityState === "visible";
    if (isSeen && this.ready && !this.session.answering) guarded(() => this.session.watch())();
    else this.session.unwatch();
  }

  private typed(event: KeyboardEvent): void {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.submit(event);
  }

  private submit(event: Event): unknown {
    event.preventDefault();
    if (this.session.answering) return event.type === "submit" ? this.stop() : undefined;
    const text = this.input.value.trim();
    if (!text) return undefined;
    if (new TextEncoder().encode(text).length > LONGEST_BYTES) return this.say(this.strings.tooLong, null);
    this.input.value = "";
    return this.ask(text);
  }

  private async ask(text: string): Promise<void> {
    if (this.session.answering) return;
    this.say("", null);
    try {
      await this.session.ask(text);
    } catch (error) {
      const isOpen = this.session.entries.some((entry) => entry.status === "answering");
      if (!isOpen && !this.input.value) this.input.value = text;
      this.complain(error, () => (isOpen ? this.resume() : this.sendAgain()));
    }
    this.buttons();
  }

  private sendAgain(): Promise<void> {
    const text = this.input.value.trim();
    this.input.value = "";
    return text ? this.ask(text) : Promise.resolve();
  }

  private async resume(): Promise<void> {
    this.say("", null);
    try {
      await this.session.resume();
    } catch (error) {
      this.complain(error, () => this.resume());
    }
  }

  private async stop(): Promise<void> {
    try {
      await this.session.cancel();
    } catch (error) {
      this.complain(error, () => this.stop());
    }
  }

  private async handOff(): Promise<void> {
    this.say("", null);
    try {
      await this.session.handOff();
    } catch (error) {
      this.complain(error, () => this.handOff());
    }
    this.focus();
  }

  private complain(error: unknown, retry: () => unknown): void {
    const s = this.strings;
    if (error instanceof Dropped) this.say(this.started ? s.lost : s.off, retry);
    else if (error instanceof Refused && error.status === 429) this.say(s.slow, retry);
    else if (error instanceof Refused && error.status === 413) this.say(s.tooLong, null);
    else this.say(s.wrong, retry);
  }

  private say(words: string, retry: (() => unknown) | null): void {
    this.retry = retry;
    this.error.className = words ? "error" : "";
    this.error.replaceChildren();
    if (!words) return;
    this.error.append(h("span", {}, words));
    if (!retry) return;
    const button = h("button", { type: "button" }, this.strings.retry);
    on(button, "click", () => {
      const again = this.retry;
      this.say("", null);
      this.input.focus();
      return again?.();
    });
    this.error.append(button);
  }

  private buttons(): void {
    const busy = this.session.answering;
    const label = busy ? this.strings.stop : this.strings.send;
    this.sendButton.disabled = !busy && !this.input.value.trim();
    if (this.sendButton.title === label) return;
    this.sendButton.title = label;
    this.sendButton.setAttribute("aria-label", label);
    this.sendButton.replaceChildren(icon(...(busy ? ICONS.stop : ICONS.send)));
  }

  private openSource(citation: Citation, number: number, opener: HTMLElement): void {
    this.back();
    const s = this.strings;
    const back = h("button", { class: "square", type: "button", "aria-label": s.closeSource, title: s.closeSource }, icon(...ICONS.close));
    const head = h("div", {}, h("p", {}, `${s.source} ${number}`), h("h3", { id: "s" }, citation.title));
    const text = h("div", { class: "text", tabindex: "0", role: "group", "aria-labelledby": "s" }, h("blockquote", { dir: "auto" }, citation.quote));
    const url = safeUrl(citation.url);
    if (url) text.append(h("p", {}, h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, s.openPage)));
    this.source = h("section", { class: "source", "aria-labelledby": "s" }, h("header", { class: "top" }, head, back), text);
    this.sourceOpener = opener;
    on(back, "click", () => this.back());
    this.element.append(this.source);
    back.focus();
  }

  private bottom(): void {
    this.log.scrollTop = this.log.scrollHeight;
  }
}
