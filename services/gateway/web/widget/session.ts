import { Client, Dropped, Refused } from "./client";
import type { Citation, Role, ServerEvent, Status, StoredMessage } from "./types";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 8_000;
/** Tries without a single new event before a person is asked to try again. */
const TRIES = 7;

/** One message as the panel shows it; `id` is "" until the gateway has named it. */
export interface Entry {
  id: string;
  role: Role;
  text: string;
  status: Status | "sending";
  outcome: string;
  reason: string;
  citations: Citation[];
  rating: number;
}

/** What the session tells the panel. */
export interface View {
  /** An entry is new or has changed. */
  show(entry: Entry): void;
  /** An entry never came to be. */
  drop(entry: Entry): void;
  /** Text was added to an answer: for whoever listens rather than looks. */
  heard(entry: Entry, text: string): void;
  /** Who is answering, whether an answer is being written, whether the line is down. */
  state(session: Session): void;
}

/** The conversation: what was said, and the streams that bring more. */
export class Session {
  /** "open", "waiting", "taken_over" or "resolved". */
  status = "open";
  answering = false;
  reconnecting = false;
  readonly entries: Entry[] = [];
  private readonly byId = new Map<string, Entry>();
  /** Number of the last event seen of each message. */
  private readonly seen = new Map<string, number>();
  private lastEventId = "";
  private gapAt = "";
  /** A question of which it is not known whether the gateway has it. */
  private unsure: { text: string; key: string } | null = null;
  private watching: AbortController | null = null;

  constructor(
    private readonly client: Client,
    private readonly view: View,
  ) {}

  /** Brings back an earlier conversation; one that is gone is forgotten. */
  async restore(): Promise<void> {
    if (!this.client.known) return;
    try {
      await this.sync();
      const open = this.entries.find((entry) => entry.status === "answering");
      if (open) await this.follow(open);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.client.forget();
    }
  }

  /** Asks, and follows the answer to its end over any number of broken connections. */
  async ask(text: string): Promise<void> {
    const question = this.add({ role: "visitor", text, status: "sending" });
    this.set(true);
    try {
      await this.client.begin();
      await this.exchange(text, question);
    } catch (error) {
      if (question.status === "sending") this.remove(question);
      if (!isGone(error) || question.id) throw error;
      // The conversation ended while the page was open: the question begins a new one.
      this.client.forget();
      this.reset();
      return await this.askAgain(text);
    } finally {
      this.set(false);
    }
  }

  /** Goes on with an answer whose connection was lost for good. */
  async resume(): Promise<boolean> {
    const open = this.entries.find((entry) => entry.status === "answering");
    if (!open) return false;
    await this.follow(open);
    return true;
  }

  async cancel(): Promise<void> {
    await this.client.act("cancel");
  }

  async handOff(): Promise<void> {
    await this.client.begin();
    await this.client.act("handoff");
    if (this.status === "open") this.status = "waiting";
    this.view.state(this);
  }

  async rate(entry: Entry, rating: number): Promise<void> {
    const before = entry.rating;
    entry.rating = rating;
    this.view.show(entry);
    try {
      await this.client.rate(entry.id, rating);
    } catch (error) {
      entry.rating = before;
      this.view.show(entry);
      throw error;
    }
  }

  /** Listens for a person's replies, until `unwatch`. */
  async watch(): Promise<void> {
    if (this.watching || !this.client.known) return;
    const abort = (this.watching = new AbortController());
    let tries = 0;
    while (!abort.signal.aborted) {
      try {
        for await (const event of this.client.events(this.lastEventId, abort.signal)) {
          tries = 0;
          this.take(event);
        }
      } catch (error) {
        if (error instanceof Refused && error.status < 500 && error.status !== 429) break;
      }
      if (!abort.signal.aborted) await pause(Math.min(tries++, 6));
    }
    if (this.watching === abort) this.watching = null;
  }

  unwatch(): void {
    this.watching?.abort();
    this.watching = null;
  }

  private async askAgain(text: string): Promise<void> {
    const question = this.add({ role: "visitor", text, status: "sending" });
    try {
      await this.client.begin();
      await this.exchange(text, question);
    } catch (error) {
      if (question.status === "sending") this.remove(question);
      throw error;
    }
  }

  /** One question and its answer. */
  private async exchange(text: string, question: Entry): Promise<void> {
    // The same text sent again after a lost connection is the same question, not a second one.
    const attempt = this.unsure?.text === text ? this.unsure : { text, key: newKey() };
    this.unsure = attempt;
    let answer = "";
    await this.persist(
      (signal) => (answer ? this.client.events(this.lastEventId, signal) : this.client.ask(text, attempt.key, signal)),
      (event) => {
        this.unsure = null;
        // Only events of this turn may end it: those of older messages may still be on their way.
        if (event.event === "message.started" && !answer) {
          answer = messageOf(event);
          this.sent(question);
        }
        return this.ends(event, answer);
      },
      // While a person answers, the agent is silent: the stream ends with the question itself.
      async () => question.id !== "" && !answer && (await this.isTakenOver()),
    );
    // An answer given long ago, joined by its key, comes as its end alone.
    if (this.byId.get(answer)?.text === "") await this.sync();
  }

  private async isTakenOver(): Promise<boolean> {
    await this.sync();
    return this.status === "taken_over";
  }

  private follow(entry: Entry): Promise<void> {
    this.set(true);
    if (!this.seen.has(entry.id)) {
      // Its first event, which says that it began, is known; its text is told from the beginning.
      this.seen.set(entry.id, 1);
      entry.text = "";
    }
    this.lastEventId = `${entry.id}:${this.seen.get(entry.id)}`;
    return this.persist(
      (signal) => this.client.events(this.lastEventId, signal),
      (event) => this.ends(event, entry.id),
    )
      .catch((error: unknown) => this.settle(error))
      .finally(() => this.set(false));
  }

  /** Events are kept for some days only: of an older answer the message itself is read. */
  private async settle(error: unknown): Promise<void> {
    if (!(error instanceof Refused) || error.status !== 409) throw error;
    await this.sync();
  }

  /** Brings what was said up to what the gateway has. */
  private async sync(): Promise<void> {
    const { status, messages, position } = await this.client.load();
    this.status = status;
    this.lastEventId ||= String(position);
    let before = 0;
    for (const message of messages) before = this.merge(message, before) + 1;
    this.view.state(this);
  }

  /** Takes in a whole message; returns its place. One that is new goes to place `at`. */
  private merge(message: StoredMessage, at: number): number {
    const entry = this.byId.get(message.message_id) ?? this.unnamed(message) ?? this.insert(message, at);
    if (!entry.id) this.name(entry, message.message_id);
    if (message.status !== "answering" || !entry.text) entry.text = message.text;
    entry.status = message.status;
    entry.outcome = message.outcome ?? "";
    entry.reason = message.handoff_reason ?? "";
    entry.citations = message.citations ?? [];
    entry.rating = message.rating ?? 0;
    this.view.show(entry);
    return this.entries.indexOf(entry);
  }

  /** The entry of a message whose id has not been told yet. */
  private unnamed(message: StoredMessage): Entry | undefined {
    return this.entries.find((entry) => !entry.id && entry.role === message.role && entry.text === message.text);
  }

  private insert(message: StoredMessage, at: number): Entry {
    const entry = made(message);
    this.entries.splice(at, 0, entry);
    return entry;
  }

  /**
   * Reads streams, a new one after each that broke, until an event ends the matter, or until
   * one ended by itself and `isOver`.
   */
  private async persist(
    open: (signal: AbortSignal) => AsyncGenerator<ServerEvent>,
    isLast: (event: ServerEvent) => boolean,
    isOver: () => Promise<boolean> = async () => false,
  ): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const abort = new AbortController();
      try {
        for await (const event of open(abort.signal)) {
          if (!this.take(event)) continue;
          tries = 0;
          this.line(true);
          if (isLast(event)) return;
        }
        if (await isOver()) return;
      } catch (error) {
        if (error instanceof Refused && !mayPass(error)) throw error;
        if (error instanceof Refused && tries >= 2) throw error;
        if (!(error instanceof Refused || error instanceof Dropped)) throw error;
      } finally {
        abort.abort();
      }
      if (tries >= TRIES) {
        this.line(true);
        throw new Dropped();
      }
      this.line(false);
      await pause(tries);
    }
  }

  private ends(event: ServerEvent, answer: string): boolean {
    const isEnd = event.event === "message.completed" || event.event === "error";
    return isEnd && messageOf(event) === answer;
  }

  /** Takes in one event; false when it was known. Throws Dropped where one was left out. */
  private take(event: ServerEvent): boolean {
    const { id, number } = position(event);
    if (number > 0) {
      const before = this.seen.get(id) ?? 0;
      if (number <= before) return false;
      if (before > 0 && number > before + 1 && this.gapAt !== event.id) {
        // Words are missing: ask once more from where they stopped.
        this.gapAt = event.id;
        throw new Dropped();
      }
      this.seen.set(id, number);
      this.lastEventId = event.id;
    }
    this.apply(event);
    return true;
  }

  private apply(event: ServerEvent): void {
    const { event: kind, data } = event;
    if (kind === "status") {
      this.status = data.status ?? this.status;
      this.view.state(this);
    } else if (kind === "message.posted") {
      this.posted(data.message);
    } else if (kind === "error" && !messageOf(event)) {
      throw new Refused(data.status ?? 500, data, 0); // Not the answer failed, but the stream.
    } else if (messageOf(event)) {
      const entry = this.answer(messageOf(event));
      if (entry.status === "answering") this.written(entry, kind, data);
    }
  }

  /** What an event changes in an answer that is being written. */
  private written(entry: Entry, kind: string, data: any): void {
    if (kind === "message.delta") {
      entry.text += data.text ?? "";
      this.view.heard(entry, data.text ?? "");
    } else if (kind === "message.citations") {
      entry.citations = data.citations ?? [];
    } else if (kind === "handoff") {
      entry.reason = data.reason ?? "";
      if (this.status === "open") this.status = "waiting";
      this.view.state(this);
    } else if (kind === "message.completed") {
      entry.outcome = data.outcome ?? "";
      entry.status = data.status === "canceled" ? "canceled" : "completed";
    } else if (kind === "error") {
      entry.status = "failed";
    }
    this.view.show(entry);
  }

  private posted(message: StoredMessage | undefined): void {
    if (!message || this.byId.has(message.message_id)) return;
    this.merge(message, this.entries.length);
    if (message.role !== "visitor") this.view.heard(this.byId.get(message.message_id)!, `${message.text}\n`);
  }

  private answer(id: string): Entry {
    return this.byId.get(id) ?? this.add({ role: "agent", text: "", status: "answering" }, id);
  }

  private add(given: Pick<Entry, "role" | "text" | "status">, id = ""): Entry {
    const entry = made(given);
    this.entries.push(entry);
    if (id) this.name(entry, id);
    this.view.show(entry);
    return entry;
  }

  private name(entry: Entry, id: string): void {
    entry.id = id;
    this.byId.set(id, entry);
  }

  private sent(entry: Entry): void {
    entry.status = "completed";
    this.view.show(entry);
  }

  private remove(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
    this.view.drop(entry);
  }

  /** Forgets where the streams were; what was said stays on the screen. */
  private reset(): void {
    this.unwatch();
    this.seen.clear();
    this.lastEventId = "";
    this.status = "open";
  }

  private set(answering: boolean): void {
    this.answering = answering;
    this.view.state(this);
  }

  private line(isUp: boolean): void {
    if (this.reconnecting === !isUp) return;
    this.reconnecting = !isUp;
    this.view.state(this);
  }
}

function made(given: Pick<Entry, "role" | "text" | "status">): Entry {
  const { role, text, status } = given;
  return { id: "", role, text, status, outcome: "", reason: "", citations: [], rating: 0 };
}

/** Message and number of an event: its id is "<message_id>:<n>". */
function position(event: ServerEvent): { id: string; number: number } {
  const cut = event.id.lastIndexOf(":");
  const number = Number(event.id.slice(cut + 1));
  return cut > 0 && Number.isInteger(number) ? { id: event.id.slice(0, cut), number } : { id: "", number: 0 };
}

function messageOf(event: ServerEvent): string {
  return event.data.message_id ?? position(event).id;
}

/** The conversation, or the token for it, is not accepted any more. */
function isGone(error: unknown): boolean {
  return error instanceof Refused && (error.status === 401 || error.status === 404 || error.status === 410);
}

/** Whether a refusal may pass by itself, soon. */
function mayPass(error: Refused): boolean {
  return error.status >= 502 && error.status <= 504;
}

/** Waits longer with each try, with jitter; shorter when the browser is online again. */
function pause(tries: number): Promise<void> {
  const wait = Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS) * (0.75 + Math.random() / 2);
  return new Promise((resolve) => {
    const timer = setTimeout(done, wait);
    function done(): void {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });
}

/** A random key; `randomUUID` exists on secure pages only. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
