// Generates src/api from the OpenAPI document of a running server:
//
//   npm run generate -- http://localhost:3000
//
// With --check it writes nothing and fails if the committed files differ.
import { createClient } from "@hey-api/openapi-ts";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const server = process.argv.slice(2).find((arg) => !arg.startsWith("--"));
const check = process.argv.includes("--check");
const source = fileURLToPath(new URL("../src", import.meta.url));
if (!server) {
  console.error("usage: npm run generate -- http://localhost:3000 [--check]");
  process.exit(2);
}

async function document(path) {
  const response = await fetch(new URL(path, server));
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

const generate = async (into) =>
  createClient({
    input: await document("/openapi.json"),
    logs: { level: "warn", file: false },
    output: { path: join(into, "api"), module: { extension: ".js" } },
    plugins: [{ name: "@hey-api/client-fetch", throwOnError: true }, "@hey-api/typescript", "@hey-api/sdk"],
  });

async function files(folder) {
  const found = new Map();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.set(relative(folder, path), await readFile(path, "utf8"));
  }
  return found;
}

if (!check) {
  await generate(source);
} else {
  const fresh = await mkdtemp(join(tmpdir(), "orderflow-client-"));
  try {
    await generate(fresh);
    const [want, got] = [await files(fresh), await files(source)];
    const stale = [...want.keys()].filter((path) => got.get(path) !== want.get(path));
    const left = [...got.keys()].filter((path) => path.startsWith("api/") && !want.has(path));
    if (stale.length + left.length > 0) {
      console.error("These generated files are not up to date; run npm run generate:", ...stale, ...left);
      process.exitCode = 1;
    }
  } finally {
    await rm(fresh, { recursive: true });
  }
}
