/**
 * Links with data-dialog open their page's <section id="sheet"> in a dialog; without script, or
 * when that fails, the link is followed.
 */
export function dialogs(): void {
  document.addEventListener("click", (event) => {
    const target = event.target as Element;
    const link = target.closest<HTMLAnchorElement>("a[data-dialog]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      void openPage(link);
    } else if (target.closest("[data-close]")) {
      const dialog = target.closest("dialog");
      if (dialog) {
        event.preventDefault();
        dialog.close();
      }
    } else if (target instanceof HTMLDialogElement) {
      target.close(); // A click on the backdrop.
    }
  });
}

async function openPage(link: HTMLAnchorElement): Promise<void> {
  try {
    const response = await fetch(link.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const sheet = page.getElementById("sheet");
    if (!response.ok || !sheet) throw new Error("no sheet");
    show(sheet);
  } catch {
    location.assign(link.href);
  }
}

function show(sheet: HTMLElement): void {
  const dialog = document.createElement("dialog");
  dialog.className = "sheet";
  sheet.removeAttribute("class"); // The dialog is its card.
  dialog.append(document.adoptNode(sheet));
  // A page has one h1; in the dialog it is the dialog's name.
  const title = dialog.querySelector("h1, h2");
  if (title) {
    const heading = document.createElement("h2");
    heading.id = "sheet-title";
    heading.append(...title.childNodes);
    title.replaceWith(heading);
    dialog.setAttribute("aria-labelledby", heading.id);
  }
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector<HTMLElement>("[autofocus], input:not([type=hidden]), textarea")?.focus();
}
