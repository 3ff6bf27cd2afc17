/** How many files go up at the same time. */
const LANES = 3;

interface Problem {
  title?: string;
  detail?: string;
}

interface Upload {
  file: File;
  row: HTMLLIElement;
  bar: HTMLProgressElement;
  state: HTMLElement;
}

/** The upload form sends each file by itself, shows how far it is, and what became of it. */
export function uploads(): void {
  const form = document.querySelector<HTMLFormElement>("form[data-upload]");
  if (!form) return;
  const input = form.querySelector<HTMLInputElement>("input[type=file]")!;
  const queue = new Queue(form);
  input.multiple = true; // Without script a form carries one.
  input.addEventListener("change", () => {
    queue.add([...(input.files ?? [])]);
    input.value = "";
  });
  dropping(form, (files) => queue.add(files));
  // The page's submit button is for browsers without script.
  form.querySelector<HTMLElement>("[data-noscript]")?.remove();
}

function dropping(form: HTMLFormElement, take: (files: File[]) => void): void {
  const mark = (over: boolean) => form.classList.toggle("is-over", over);
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    take([...(event.dataTransfer?.files ?? [])]);
  });
}

class Queue {
  private readonly waiting: Upload[] = [];
  private running = 0;
  private done = 0;
  private failed = 0;
  private total = 0;
  private readonly panel = document.querySelector<HTMLElement>("#uploads")!;

  constructor(private readonly form: HTMLFormElement) {
    addEventListener("beforeunload", (event) => {
      if (this.running > 0) event.preventDefault();
    });
  }

  add(files: File[]): void {
    if (files.length === 0) return;
    this.panel.hidden = false;
    const list = this.panel.querySelector("ul")!;
    for (const file of files) {
      const upload = line(file);
      list.append(upload.row);
      this.waiting.push(upload);
    }
    this.total += files.length;
    this.pump();
  }

  private pump(): void {
    while (this.running < LANES && this.waiting.length > 0) {
      this.running += 1;
      void this.run(this.waiting.shift()!);
    }
    this.say();
  }

  private async run(upload: Upload): Promise<void> {
    const problem = await send(this.form, upload);
    this.running -= 1;
    this.done += 1;
    if (problem) {
      this.failed += 1;
      showProblem(upload, problem);
    } else {
      upload.bar.value = 1;
      upload.state.textContent = "Uploaded";
    }
    this.pump();
    refresh();
  }

  private say(): void {
    const title = this.panel.querySelector("[data-say]")!;
    const refused = this.failed ? `, ${this.failed} refused` : "";
    title.textContent = this.done < this.total
      ? `Uploading: ${this.done} of ${this.total} done${refused}. Keep this page open until they are up.`
      : `${this.total - this.failed} of ${this.total} uploaded${refused}.`;
  }
}

function line(file: File): Upload {
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.className = "upload-name";
  name.textContent = file.name;
  const bar = document.createElement("progress");
  bar.className = "line";
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Progress of ${file.name}`);
  const state = document.createElement("span");
  state.className = "hint";
  state.textContent = "Waiting";
  row.append(name, bar, state);
  return { file, row, bar, state };
}

function showProblem(upload: Upload, problem: Problem): void {
  upload.bar.value = 0;
  upload.state.textContent = "Refused";
  const text = document.createElement("p");
  text.className = "field-error";
  text.textContent = sentence(problem.detail ?? problem.title ?? "This file was refused.");
  upload.row.append(text);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Sends one file; XMLHttpRequest because fetch has no progress of the body. */
function send(form: HTMLFormElement, upload: Upload): Promise<Problem | null> {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.upload!);
    request.setRequestHeader("Accept", "application/json, application/problem+json");
    request.setRequestHeader("X-CSRF-Token", form.querySelector<HTMLInputElement>("[name=csrf_token]")?.value ?? "");
    request.setRequestHeader("Idempotency-Key", crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`);
    request.upload.addEventListener("progress", (event) => {
      upload.bar.value = event.loaded / event.total;
      upload.state.textContent = `${Math.round((100 * event.loaded) / event.total)} %`;
    });
    request.addEventListener("load", () => resolve(request.status < 300 ? null : problemOf(request)));
    request.addEventListener("error", () =>
      resolve({ detail: "The connection broke before the file was up. Nothing was kept; choose it again." }));
    const body = new FormData();
    body.append("file", upload.file);
    request.send(body);
  });
}

function problemOf(request: XMLHttpRequest): Problem {
  if (request.status === 401) return { detail: "You are signed out. Sign in again, then choose the file again." };
  if (request.status === 413) return { detail: "This file is larger than the server takes." };
  try {
    return JSON.parse(request.responseText) as Problem;
  } catch {
    return { detail: `The server answered with status ${request.status}. Nothing was kept; try again.` };
  }
}

let pending = 0;

/** Brings the list up to date, at most once a second. */
function refresh(): void {
  if (pending) return;
  pending = window.setTimeout(() => {
    pending = 0;
    document.querySelector("#sources")?.dispatchEvent(new CustomEvent("refresh"));
  }, 800);
}
