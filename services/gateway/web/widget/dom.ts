type Attributes = Record<string, string | boolean>;

/** An element with attributes and children; `true` sets an attribute without a value. */
export function h(name: string, attributes: Attributes = {}, ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A Lucide icon (ISC licence) from its path data. */
export function icon(...paths: string[]): SVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const data of paths) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", data);
    svg.append(path);
  }
  return svg;
}

export const ICONS = {
  chat: ["M7.9 20A9 9 0 1 0 4 16.1L2 22Z"],
  close: ["M18 6 6 18", "m6 6 12 12"],
  send: ["m5 12 7-7 7 7", "M12 19V5"],
  stop: ["M7 7h10v10H7z"],
  up: ["M7 10v12", "M15 5.88 14 10h5.83a2 2 0 0 1 1.92 2.56l-2.33 8A2 2 0 0 1 17.5 22H4a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2h2.76a2 2 0 0 0 1.79-1.11L12 2a3.13 3.13 0 0 1 3 3.88Z"],
  down: ["M17 14V2", "M9 18.12 10 14H4.17a2 2 0 0 1-1.92-2.56l2.33-8A2 2 0 0 1 6.5 2H20a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-2.76a2 2 0 0 0-1.79 1.11L12 22a3.13 3.13 0 0 1-3-3.88Z"],
  screen: ["M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Z", "M8 21h8", "M12 17v4"],
  person: ["M19 21v-2a4 4 0 0 0-4-4H9a4 4 0 0 0-4 4v2", "M8 7a4 4 0 1 0 8 0 4 4 0 1 0-8 0"],
} as const;

/** Runs `work`; whatever goes wrong stays in here and never reaches the host page. */
export function guarded<A extends unknown[]>(work: (...given: A) => unknown): (...given: A) => void {
  return (...given) => {
    try {
      const result = work(...given);
      if (result instanceof Promise) result.catch(quiet);
    } catch (error) {
      quiet(error);
    }
  };
}

function quiet(error: unknown): void {
  console.warn("[fleetdesk]", error);
}

export function on<K extends keyof HTMLElementEventMap>(
  target: EventTarget,
  type: K,
  work: (event: HTMLElementEventMap[K]) => unknown,
): void {
  target.addEventListener(type, guarded(work) as EventListener);
}
