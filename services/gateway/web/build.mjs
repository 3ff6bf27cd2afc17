// Builds what the browser gets into ../src/gateway/static (or the folder given as argument):
// one style sheet, the dashboard's scripts, an icon sprite, the widget, and manifest.json, which
// maps plain names to names with a content hash. Text files get .gz and .br twins.

import { build } from "esbuild";
import { readdir, readFile, rename, rm, mkdir, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { brotliCompress, constants, gzip } from "node:zlib";
import { promisify } from "node:util";
import { compile } from "tailwindcss";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../src/gateway/static"));
const partial = `${out}.partial`;
const require = createRequire(import.meta.url);
const WIDGET_LIMIT_BYTES = 30_000;

const options = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  legalComments: "none",
  target: ["chrome111", "firefox128", "safari16.4"],
  outdir: partial,
  metafile: true,
  logLevel: "warning",
};

/** Every word of the templates and scripts that could be a class; Tailwind ignores the others. */
async function classCandidates() {
  const words = new Set();
  for (const folder of ["../src/gateway/templates", "src"]) {
    const root = join(here, folder);
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(html|ts)$/.test(entry.name)) continue;
      const text = await readFile(join(entry.parentPath, entry.name), "utf8");
      for (const word of text.split(/[\s"'`<>{}=;]+/)) words.add(word);
    }
  }
  return [...words];
}

async function styleSheet() {
  const entry = join(here, "src/app.css");
  const source = await readFile(entry, "utf8");
  const compiler = await compile(source, {
    base: dirname(entry),
    from: entry,
    loadStylesheet: async (id, base) => {
      const path = id === "tailwindcss" ? require.resolve("tailwindcss/index.css") : resolve(base, id);
      return { path, base: dirname(path), content: await readFile(path, "utf8") };
    },
    loadModule: async (id, base) => {
      const path = require.resolve(id, { paths: [base] });
      return { path, base: dirname(path), module: (await import(pathToFileURL(path).href)).default };
    },
  });
  const css = compiler.build(await classCandidates());
  return build({
    ...options,
    stdin: { contents: `@import "./src/fonts.css";\n${css}`, loader: "css", resolveDir: here },
    entryNames: "app-[hash]",
    assetNames: "[name]-[hash]",
    loader: { ".woff2": "file" },
  });
}

function scripts() {
  return build({
    ...options,
    entryPoints: { app: "src/app.ts", chart: "src/chart.ts" },
    entryNames: "[name]-[hash]",
    format: "iife",
  });
}

/** The widget keeps its name: it stands in other people's pages. */
function widget() {
  return build({
    ...options,
    entryPoints: { widget: "widget/main.ts" },
    entryNames: "[name]",
    format: "iife",
    target: ["es2020"],
  });
}

/** One file with the icons that icons.txt names, as <symbol>s. */
async function iconSprite() {
  const names = (await readFile(join(here, "src/icons.txt"), "utf8")).split("\n").filter(Boolean);
  const symbols = await Promise.all(names.map(async (name) => {
    const path = join(dirname(require.resolve("lucide/package.json")), `dist/esm/icons/${name}.mjs`);
    const { default: nodes } = await import(pathToFileURL(path).href);
    const shapes = nodes.map(([tag, attrs]) =>
      `<${tag} ${Object.entries(attrs).map(([key, value]) => `${key}="${value}"`).join(" ")}/>`);
    return `<symbol id="${name}" viewBox="0 0 24 24">${shapes.join("")}</symbol>`;
  }));
  const sprite = `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
  return hashed("icons", "svg", sprite);
}

async function hashed(name, extension, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
  await writeFile(join(partial, `${name}-${hash}.${extension}`), content);
  return { [`${name}.${extension}`]: `${name}-${hash}.${extension}` };
}

/** Plain name → hashed name for what esbuild wrote; fonts keep the name they have in the CSS. */
function named(results) {
  const names = {};
  for (const path of results.flatMap((result) => Object.keys(result.metafile.outputs))) {
    const file = path.split("/").at(-1);
    names[file.replace(/-[A-Z0-9]{8}(?=\.\w+$)/, "")] = file;
  }
  return names;
}

async function compress() {
  const sizes = {};
  for (const file of await readdir(partial)) {
    if (!/\.(css|js|svg)$/.test(file)) continue;
    const content = await readFile(join(partial, file));
    const zipped = await promisify(gzip)(content, { level: 9 });
    const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
    await writeFile(join(partial, `${file}.gz`), zipped);
    await writeFile(join(partial, `${file}.br`), await promisify(brotliCompress)(content, quality));
    sizes[file] = [content.length, zipped.length];
  }
  return sizes;
}

function report(sizes) {
  for (const [file, [plain, zipped]] of Object.entries(sizes)) {
    console.log(`${file.padEnd(24)} ${String(plain).padStart(8)} B  ${String(zipped).padStart(7)} B gzipped`);
  }
  if (sizes["widget.js"][1] > WIDGET_LIMIT_BYTES) {
    throw new Error(`widget.js is ${sizes["widget.js"][1]} bytes gzipped; the limit is ${WIDGET_LIMIT_BYTES}`);
  }
}

await rm(partial, { recursive: true, force: true });
await mkdir(partial, { recursive: true });
const results = await Promise.all([styleSheet(), scripts(), widget()]);
const manifest = {
  ...named(results),
  ...(await iconSprite()),
  ...(await hashed("favicon", "svg", await readFile(join(here, "src/favicon.svg"), "utf8"))),
};
report(await compress());
await writeFile(join(partial, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
await rm(out, { recursive: true, force: true });
await rename(partial, out);
