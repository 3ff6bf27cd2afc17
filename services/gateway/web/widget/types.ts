/** The gateway's shapes, as far as the widget reads them. */

export interface Citation {
  document_id: string;
  chunk_id: string;
  title: string;
  url: string;
  start: number;
  end: number;
  quote: string;
  /** Where in the answer the cited part ends, in Unicode code points; absent or 0: at its end. */
  answer_end?: number;
}

export type Role = "visitor" | "agent" | "person";
export type Status = "answering" | "completed" | "canceled" | "failed";

export interface StoredMessage {
  message_id: string;
  role: Role;
  text: string;
  status: Status;
  outcome: string;
  handoff_reason: string;
  citations: Citation[];
  rating: number;
}

export interface Agent {
  name: string;
  greeting: string;
  suggested_questions: string[];
  screen_sharing?: boolean;
}

/** What became of a frame of the shared screen. */
export interface FrameDecision {
  kept: boolean;
  reason: string;
  next_frame_ms: number;
}

/** A problem document (RFC 9457). */
export interface Problem {
  title?: string;
  detail?: string;
  reason?: string;
}

/** One server-sent event; `data` is parsed JSON. */
export interface ServerEvent {
  id: string;
  event: string;
  data: any;
}
