// Validates the AsyncAPI document in the file of the first argument with AsyncAPI's own parser. A
// warning is an error, and so is a message or an object without a name, which generators would call
// AnonymousSchema_1.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const faults = diagnostics.filter((d) => d.severity <= 1).map((d) => `${d.path.join(".")} ${d.code} ${d.message}`);

function visit(schema, path, seen) {
  if (!schema || typeof schema === "boolean" || seen.has(schema.json())) return;
  seen.add(schema.json());
  const named = schema.properties() || schema.enum() || schema.oneOf();
  if (named && String(schema.id()).startsWith("<anonymous")) faults.push(`${path} has no name`);
  for (const [name, inner] of Object.entries(schema.properties() ?? {})) visit(inner, `${path}/${name}`, seen);
  for (const inner of schema.oneOf() ?? []) visit(inner, `${path}/oneOf`, seen);
  const items = schema.items();
  if (items && !Array.isArray(items)) visit(items, `${path}/items`, seen);
}
if (document) {
  const seen = new Set();
  for (const message of document.allMessages()) visit(message.payload(), message.id(), seen);
}
for (const fault of faults) console.error(fault);
if (!document || faults.length > 0) process.exit(1);
console.log(`${document.allMessages().length} messages over ${document.allChannels().length} channels`);
