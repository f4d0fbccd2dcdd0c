import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEventStream } from "../dist/sse.js";

async function parse(...parts) {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(typeof part === "string" ? encoder.encode(part) : part);
      controller.close();
    },
  });
  const all = [];
  for await (const { id, event, data } of parseEventStream(body)) all.push([id, event, data]);
  return all;
}

test("E22: an event stream is parsed as the HTML standard says, however it is cut", async () => {
  const stream = [
    "\uFEFF: a comment\n\n", "id: 1\ndata: one\n\n", "data: two\r\ndata: lines\r\n\r\n", "event: ready\rdata\r\r", "id:3\ndata:no space\nretry: 10\nunknown: x\n\n",
    "id: bad\0id\ndata:  two spaces\n\n", "event: lost\n\n", "data: Käse 🧀\n\n", "data: incomplete",
  ].join("");
  const want = [
    ["1", "message", "one"], ["1", "message", "two\nlines"], ["1", "ready", ""], ["3", "message", "no space"],
    ["3", "message", " two spaces"], ["3", "message", "Käse 🧀"],
  ];
  assert.deepEqual(await parse(stream), want);
  const bytes = new TextEncoder().encode(stream);
  assert.deepEqual(await parse(...Array.from(bytes, (_, i) => bytes.slice(i, i + 1))), want);
  for (let cut = 1; cut < bytes.length; cut++) assert.deepEqual(await parse(bytes.slice(0, cut), bytes.slice(cut)), want, `cut at ${cut}`);
});
