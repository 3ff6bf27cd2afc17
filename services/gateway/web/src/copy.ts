/** Buttons with data-copy="<id>" copy that element's text, and say so. */
export function copyButtons(): void {
  document.addEventListener("click", async (event) => {
    const button = (event.target as Element).closest<HTMLButtonElement>("button[data-copy]");
    const source = button && document.getElementById(button.dataset.copy ?? "");
    if (!button || !source) return;
    const word = button.querySelector("[data-word]") ?? button;
    const before = word.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent?.trim() ?? "");
      word.textContent = "Copied";
    } catch {
      // No clipboard (plain http, or refused): the text is selected so that Ctrl+C takes it.
      getSelection()?.selectAllChildren(source);
      word.textContent = "Press Ctrl+C";
    }
    setTimeout(() => (word.textContent = before), 2_000);
  });
}
