/** The part of Markdown that answers use, built as DOM nodes: no HTML is ever parsed. */

/** Footnote n stands in the text as this character plus n (private use area). */
export const FOOTNOTE_BASE = 0xe000;
const FOOTNOTE = /[\ue001-\ue1f4]/;
const FOOTNOTES = new RegExp(FOOTNOTE, "g");

type Footnote = (number: number) => Node;

/** Takes away what could be taken for a footnote. */
export function withoutFootnotes(text: string): string {
  return text.replace(FOOTNOTES, "\ufffd");
}

export function markdown(text: string, footnote: Footnote): DocumentFragment {
  const out = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  for (let at = 0; at < lines.length; ) at = block(lines, at, out, footnote);
  return out;
}

/** Appends the block that begins at line `at`; returns the line after it. */
function block(lines: string[], at: number, out: Node, footnote: Footnote): number {
  const line = lines[at]!;
  if (/^\s*$/.test(line)) return at + 1;
  if (/^ {0,3}```/.test(line)) return fence(lines, at, out);
  const heading = /^ {0,3}#{1,6}\s+(.*)$/.exec(line);
  if (heading) {
    const title = out.appendChild(el("p")).appendChild(el("strong"));
    inline(heading[1]!, title, footnote);
    return at + 1;
  }
  if (/^ {0,3}>/.test(line)) return quote(lines, at, out, footnote);
  if (item(line)) return list(lines, at, out, footnote);
  return paragraph(lines, at, out, footnote);
}

function fence(lines: string[], at: number, out: Node): number {
  let end = at + 1;
  while (end < lines.length && !/^ {0,3}```/.test(lines[end]!)) end += 1;
  const code = out.appendChild(el("pre")).appendChild(el("code"));
  code.textContent = withoutFootnotes(lines.slice(at + 1, end).join("\n"));
  return end + 1;
}

function quote(lines: string[], at: number, out: Node, footnote: Footnote): number {
  const inner: string[] = [];
  for (; at < lines.length && /^ {0,3}>/.test(lines[at]!); at += 1) inner.push(lines[at]!.replace(/^ {0,3}> ?/, ""));
  out.appendChild(el("blockquote")).append(markdown(inner.join("\n"), footnote));
  return at;
}

interface Item {
  indent: number;
  start: number | null;
  text: string;
}

function item(line: string): Item | null {
  const found = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/.exec(line);
  if (!found) return null;
  return { indent: found[1]!.length, start: found[2] ? Number(found[2]) : null, text: found[3]! };
}

function list(lines: string[], at: number, out: Node, footnote: Footnote): number {
  const first = item(lines[at]!)!;
  const ordered = first.start !== null;
  const node = out.appendChild(el(ordered ? "ol" : "ul"));
  if (ordered && first.start !== 1) node.setAttribute("start", String(first.start));
  while (at < lines.length) {
    const here = item(lines[at]!);
    if (!here || here.indent < first.indent || (here.start !== null) !== ordered) break;
    const inner = [here.text];
    for (at += 1; at < lines.length && belongs(lines, at, first.indent); at += 1) inner.push(lines[at]!.trimEnd());
    const body = outdent(inner);
    const li = node.appendChild(el("li"));
    const simple = body.every((line) => line && !item(line) && !line.startsWith("```"));
    if (simple) inline(body.join("\n"), li, footnote);
    else li.append(markdown(body.join("\n"), footnote));
  }
  return at;
}

/** Whether a line goes on with the list item above it. */
function belongs(lines: string[], at: number, indent: number): boolean {
  const line = lines[at]!;
  if (/^\s*$/.test(line)) {
    const next = lines[at + 1];
    return next !== undefined && /^\s/.test(next) && next.search(/\S/) > indent;
  }
  const here = item(line);
  if (here) return here.indent > indent;
  return line.search(/\S/) > indent || !/^ {0,3}(?:```|#{1,6}\s|>)/.test(line);
}

function outdent([first, ...rest]: string[]): string[] {
  const depths = rest.filter((line) => line.trim()).map((line) => line.search(/\S/));
  const depth = depths.length ? Math.min(...depths) : 0;
  return [first!, ...rest.map((line) => line.slice(depth))];
}

function paragraph(lines: string[], at: number, out: Node, footnote: Footnote): number {
  const start = at;
  while (at < lines.length && lines[at]!.trim() && (at === start || !/^ {0,3}(?:```|#{1,6}\s|>)/.test(lines[at]!))) {
    if (at > start && item(lines[at]!)) break;
    at += 1;
  }
  inline(lines.slice(start, at).map((line) => line.trim()).join("\n"), out.appendChild(el("p")), footnote);
  return at;
}

const TOKENS = new RegExp(
  [
    "(`+)(.+?)\\1(?!`)",
    "\\*\\*(?=\\S)([^]+?\\S)\\*\\*",
    "(?<![\\w*])[*_](?=\\S)([^*_]*?\\S)[*_](?![\\w*])",
    "\\[([^\\]\\n]+)\\]\\(([^()\\s]+(?:\\([^()\\s]*\\))?)\\)",
    "\\\\([\\\\`*_{}\\[\\]()#+.!>~-])",
    "(\\n)",
    `(${FOOTNOTE.source})`,
  ].join("|"),
  "g",
);

function inline(text: string, out: Node, footnote: Footnote): void {
  let end = 0;
  for (const found of text.matchAll(TOKENS)) {
    if (found.index > end) out.appendChild(document.createTextNode(text.slice(end, found.index)));
    end = found.index + found[0].length;
    const [, , code, strong, em, label, href, escaped, newline] = found;
    if (code !== undefined) codeSpan(code, out, footnote);
    else if (strong !== undefined) inline(strong, out.appendChild(el("strong")), footnote);
    else if (em !== undefined) inline(em, out.appendChild(el("em")), footnote);
    else if (label !== undefined) inline(label, out.appendChild(link(href!)), footnote);
    else if (escaped !== undefined) out.appendChild(document.createTextNode(escaped));
    else if (newline !== undefined) out.appendChild(el("br"));
    else out.appendChild(footnote(found[0].charCodeAt(0) - FOOTNOTE_BASE));
  }
  if (end < text.length) out.appendChild(document.createTextNode(text.slice(end)));
}

/** A footnote inside a code span comes after it. */
function codeSpan(text: string, out: Node, footnote: Footnote): void {
  out.appendChild(el("code")).textContent = text.replace(FOOTNOTES, "");
  for (const mark of text.match(FOOTNOTES) ?? []) out.appendChild(footnote(mark.charCodeAt(0) - FOOTNOTE_BASE));
}

/** A link to the web or to a mail address; other schemes become plain text. */
function link(href: string): HTMLElement {
  const url = safeUrl(href);
  if (!url) return el("span");
  const node = el("a") as HTMLAnchorElement;
  node.href = url;
  node.target = "_blank";
  node.rel = "noopener noreferrer";
  return node;
}

export function safeUrl(href: string): string | null {
  try {
    const url = new URL(href.replace(FOOTNOTES, ""));
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function el(name: string): HTMLElement {
  return document.createElement(name);
}
