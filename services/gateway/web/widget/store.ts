/** Where a visitor's conversation with one agent is kept between visits. */
export interface Ticket {
  conversation_id: string;
  visitor_token: string;
}

/** Reads and writes the ticket; without storage (blocked, private) it lasts as long as the page. */
export class TicketStore {
  private memory: Ticket | null = null;
  private readonly key: string;

  constructor(agentId: string) {
    this.key = `fleetdesk:${agentId}`;
  }

  get(): Ticket | null {
    try {
      const ticket = JSON.parse(localStorage.getItem(this.key) ?? "null");
      if (ticket?.conversation_id && ticket?.visitor_token) return ticket;
    } catch {
      // Blocked or spoilt: what this page knows counts.
    }
    return this.memory;
  }

  set(ticket: Ticket | null): void {
    this.memory = ticket;
    try {
      if (ticket) localStorage.setItem(this.key, JSON.stringify(ticket));
      else localStorage.removeItem(this.key);
    } catch {
      // Blocked or full: kept in memory.
    }
  }
}
