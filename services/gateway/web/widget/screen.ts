import { type Client, Dropped, Refused } from "./client";
import { guarded } from "./dom";

const LONGEST_SIDE = 1920;
const LOWEST_SIDE = 1080;
const QUALITY = 0.8;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const FRAME_TIMEOUT_MS = 15_000;
/** One picture that is lost is no trouble worth telling. */
const TROUBLE = 2;

/** Why sharing ended: by the visitor, by the browser or page, or because the gateway refused. */
export type Ending = "stopped" | "refused";

/** Who is told how sharing goes. */
export interface Watcher {
  ended(ending: Ending): void;
  /** Whether pictures arrive, each time that it changes; they do in the beginning. */
  arriving(arrives: boolean): void;
}

/** Whether this browser can share a screen at all; phones can't. */
export function canShare(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === "function";
}

/**
 * A shared screen: about one picture a second to the gateway, never two at a time, until it is
 * stopped. Only pictures leave the page; nothing is recorded here.
 */
export class ScreenShare {
  private readonly video = document.createElement("video");
  private readonly canvas = document.createElement("canvas");
  private readonly abort = new AbortController();
  private readonly sessionId = crypto.randomUUID();
  private number = 0;
  private failures = 0;
  private timer = 0;
  private ended = false;

  private constructor(
    private readonly client: Client,
    private readonly stream: MediaStream,
    private readonly watcher: Watcher,
  ) {
    this.video.muted = true;
    this.video.srcObject = stream;
    for (const track of stream.getTracks()) track.addEventListener("ended", guarded(() => this.stop()));
    addEventListener("pagehide", this.leave);
  }

  /** Asks the visitor what to share, then begins; throws when they share nothing. */
  static async begin(client: Client, watcher: Watcher): Promise<ScreenShare> {
    // The pointer says nothing, and would make every frame another one.
    const video = { frameRate: { ideal: 5 }, cursor: "never" } as MediaTrackConstraints;
    const stream = await navigator.mediaDevices.getDisplayMedia({ video, audio: false });
    const share = new ScreenShare(client, stream, watcher);
    try {
      await share.video.play();
    } catch (error) {
      share.stop();
      throw error;
    }
    share.next(0);
    return share;
  }

  stop(ending: Ending = "stopped"): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    this.abort.abort();
    removeEventListener("pagehide", this.leave);
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
    this.watcher.ended(ending);
  }

  private readonly leave = (): void => this.stop();

  private next(waitMs: number): void {
    if (!this.ended) this.timer = window.setTimeout(guarded(() => this.send()), waitMs);
  }

  private async send(): Promise<void> {
    let waitMs = PAUSE_MS;
    try {
      const image = await this.picture();
      if (image) {
        const signal = this.within(FRAME_TIMEOUT_MS);
        const decision = await this.client.frame(image, this.sessionId, ++this.number, signal);
        waitMs = Math.max(decision.next_frame_ms, 250);
      }
      if (this.failures >= TROUBLE) this.watcher.arriving(true);
      this.failures = 0;
    } catch (error) {
      if (this.ended) return;
      if (refusedForGood(error)) return this.stop("refused");
      const backOffMs = Math.min(PAUSE_MS * 2 ** this.failures++, LONGEST_PAUSE_MS);
      if (this.failures === TROUBLE) this.watcher.arriving(false);
      const askedMs = error instanceof Refused ? error.retryAfterS * 1_000 : 0;
      waitMs = Math.max(backOffMs, askedMs);
    }
    this.next(waitMs);
  }

  /** The shared surface as it is now, at most 1080p; null before it shows anything. */
  private async picture(): Promise<Blob | null> {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !height) return null;
    const long = LONGEST_SIDE / Math.max(width, height);
    const scale = Math.min(1, long, LOWEST_SIDE / Math.min(width, height));
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const context = this.canvas.getContext("2d", { alpha: false });
    if (!context) return null;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", QUALITY));
  }

  private within(timeoutMs: number): AbortSignal {
    const one = new AbortController();
    const stop = () => one.abort();
    const timer = window.setTimeout(stop, timeoutMs);
    this.abort.signal.addEventListener("abort", stop, { once: true, signal: one.signal });
    one.signal.addEventListener("abort", () => clearTimeout(timer));
    return one.signal;
  }
}

/** A wrong picture, a setting or a plan does not change by waiting; a limit or an outage does. */
function refusedForGood(error: unknown): boolean {
  if (error instanceof Dropped || !(error instanceof Refused)) return false;
  return error.status < 500 && error.status !== 429;
}
