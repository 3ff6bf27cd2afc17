import { readEvents } from "./sse";
import type { TicketStore } from "./store";
import type { Agent, FrameDecision, Problem, ServerEvent, StoredMessage } from "./types";

/** A stream that says nothing for this long is taken for dead; the gateway sends comments. */
const SILENCE_MS = 40_000;

/** The gateway refused, and said why. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    readonly retryAfterS: number,
  ) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
  }
}

/** The connection broke, or never came about. */
export class Dropped extends Error {}

/** Calls to the gateway on behalf of one visitor. */
export class Client {
  constructor(
    private readonly base: string,
    private readonly agentId: string,
    private readonly tickets: TicketStore,
  ) {}

  /** What anybody may know of the agent: asked without the visitor's token, which may be out of date. */
  agent(): Promise<Agent> {
    return this.json(`/v1/agents/${this.agentId}/public`, {}, "");
  }

  get known(): boolean {
    return this.tickets.get() !== null;
  }

  forget(): void {
    this.tickets.set(null);
  }

  /** Begins a conversation unless there is one. */
  async begin(): Promise<void> {
    if (this.known) return;
    const init = { method: "POST", body: JSON.stringify({ agent_id: this.agentId }) };
    const ticket = await this.json("/v1/conversations", init);
    this.tickets.set({ conversation_id: ticket.conversation_id, visitor_token: ticket.visitor_token });
  }

  async load(): Promise<{ status: string; messages: StoredMessage[]; position: number }> {
    const { conversation, messages, position } = await this.json(this.path(""));
    return { status: conversation?.status ?? "open", messages: messages ?? [], position: position ?? 0 };
  }

  /** Sends a question; the events of its answer. With a `key` sent before, joins that answer. */
  ask(text: string, key: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const headers = { "Idempotency-Key": key };
    return this.stream("/messages", { method: "POST", body: JSON.stringify({ text }), headers, signal });
  }

  /** The events after an event's id, or after a position, then those to come. */
  events(after: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    if (!after.includes(":")) return this.stream(`/events?after=${after}`, { signal });
    return this.stream("/events", { headers: { "Last-Event-ID": after }, signal });
  }

  async act(action: "cancel" | "handoff"): Promise<void> {
    await this.send(this.path(`/${action}`), { method: "POST" });
  }

  async rate(messageId: string, rating: number): Promise<void> {
    await this.send(this.path("/rating"), { method: "POST", body: JSON.stringify({ message_id: messageId, rating }) });
  }

  /** Sends one frame of the shared screen. */
  frame(image: Blob, sessionId: string, number: number, signal: AbortSignal): Promise<FrameDecision> {
    const query = `?session_id=${sessionId}&frame_number=${number}`;
    const headers = { "Content-Type": image.type };
    return this.json(this.path(`/frames${query}`), { method: "POST", body: image, headers, signal });
  }

  private path(rest: string): string {
    return `/v1/conversations/${this.tickets.get()?.conversation_id ?? ""}${rest}`;
  }

  private async *stream(rest: string, init: RequestInit): AsyncGenerator<ServerEvent> {
    const abort = new AbortController();
    const stop = () => abort.abort();
    init.signal?.addEventListener("abort", stop);
    let silence = window.setTimeout(stop, SILENCE_MS);
    const heard = () => {
      clearTimeout(silence);
      silence = window.setTimeout(stop, SILENCE_MS);
    };
    try {
      const accept = { Accept: "text/event-stream" };
      const response = await this.send(this.path(rest), {
        ...init,
        headers: { ...accept, ...(init.headers as Record<string, string>) },
        signal: abort.signal,
      });
      heard();
      yield* readEvents(response.body!, heard);
    } catch (error) {
      throw error instanceof Refused ? error : new Dropped();
    } finally {
      clearTimeout(silence);
      init.signal?.removeEventListener("abort", stop);
      abort.abort();
    }
  }

  private async json(path: string, init: RequestInit = {}, token?: string): Promise<any> {
    const response = await this.send(path, init, token);
    return response.json();
  }

  private async send(path: string, init: RequestInit, token = this.tickets.get()?.visitor_token): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", ...(init.headers as Record<string, string>) };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (init.body) headers["Content-Type"] ??= "application/json";
    let response: Response;
    try {
      response = await fetch(this.base + path, { ...init, headers, credentials: "omit", cache: "no-store" });
    } catch {
      throw new Dropped();
    }
    if (response.ok) return response;
    const problem: Problem = await response.json().catch(() => ({}));
    throw new Refused(response.status, problem, Number(response.headers.get("Retry-After")) || 0);
  }
}
