/**
 * Choosing a manner fills in its length and temperature. Where one of them is then changed by hand
 * it is Custom, with the manner's words before the agent's own. The server does the same on saving.
 */
export function manners(): void {
  const cards = document.querySelector<HTMLElement>("[data-manners]");
  if (!cards) return;
  const all = [...cards.querySelectorAll<HTMLInputElement>("input[type=radio]")];
  const custom = all.find((each) => each.value === "custom")!;
  const field = (name: string) => document.querySelector<HTMLInputElement | HTMLTextAreaElement>(`#f-${name}`)!;
  const [length, temperature, words] = [field("max_tokens"), field("temperature"), field("instructions")];
  const say = document.querySelector<HTMLElement>("[data-manners-say]")!;

  cards.addEventListener("change", () => {
    const chosen = all.find((each) => each.checked)!;
    if (chosen === custom) return;
    const { maxTokens = "", temperature: degree = "" } = chosen.dataset;
    [length.value, temperature.value] = [maxTokens, degree];
    const before = all.find((each) => each.dataset.words && words.value.startsWith(each.dataset.words));
    if (before) words.value = words.value.slice(before.dataset.words!.length).trimStart();
    say.textContent = `Answers have at most ${maxTokens} tokens and the temperature ${degree} now.`;
  });

  const byHand = () => {
    const chosen = all.find((each) => each.checked);
    if (!chosen?.dataset.words) return;
    if (length.value === chosen.dataset.maxTokens && temperature.value === chosen.dataset.temperature) return;
    words.value = [chosen.dataset.words, words.value].filter(Boolean).join("\n\n");
    custom.checked = true;
    say.textContent = "It is Custom now, and the words of the manner before stand in the instructions.";
  };
  length.addEventListener("input", byHand);
  temperature.addEventListener("input", byHand);
}
