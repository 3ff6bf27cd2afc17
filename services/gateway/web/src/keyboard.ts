const OFF = "fleetdesk.keys-off";

/** `/` search, `g` and a letter to go, `j`/`k` rows, `?` help. Can be switched off in the help. */
export function keyboard(): void {
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || off()) return;
    if (document.querySelector("dialog[open]")) return;
    if (going && Date.now() - going < 2_000) {
      going = 0;
      return go(event);
    }
    if (event.key === "g") going = Date.now();
    else if (event.key === "/") focusSearch(event);
    else if (event.key === "?") help(event);
    else if (event.key === "j" || event.key === "k") moveRow(event, event.key === "j" ? 1 : -1);
  });
  document.addEventListener("click", (event) => {
    if ((event.target as Element).closest("[data-help]")) help(event);
  });
  const box = document.querySelector<HTMLInputElement>("[data-keys]");
  if (!box) return;
  box.checked = !off();
  box.addEventListener("change", () => remember(!box.checked));
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

function off(): boolean {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false; // Storage is closed to us: the keys work.
  }
}

function remember(isOff: boolean): void {
  try {
    if (isOff) localStorage.setItem(OFF, "1");
    else localStorage.removeItem(OFF);
  } catch {
    // Storage is closed to us: the choice lasts for this page only.
  }
}

function go(event: KeyboardEvent): void {
  const link = document.querySelector<HTMLAnchorElement>(`a[data-key="${CSS.escape(event.key)}"]`);
  if (link) {
    event.preventDefault();
    location.assign(link.href);
  }
}

function focusSearch(event: Event): void {
  const field = document.querySelector<HTMLInputElement>("#search");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
}

function help(event: Event): void {
  const dialog = document.querySelector<HTMLDialogElement>("#help");
  if (dialog && !dialog.open) {
    event.preventDefault();
    dialog.showModal();
  }
}

function moveRow(event: Event, step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  if (rows.length === 0) return;
  event.preventDefault();
  const now = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(now + step, 0), rows.length - 1);
  const row = rows[next];
  const link = row?.matches("a") ? row : row?.querySelector<HTMLElement>("a");
  link?.focus();
  row?.scrollIntoView({ block: "nearest" });
}
