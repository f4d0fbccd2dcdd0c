// Reads messages, one JSON document a line, and says of each whether the official
// library takes it: with its secret, with another body, and with another time.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const takes = (secret, body, headers) => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  const late = { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) };
  console.log(JSON.stringify({
    good: takes(secret, body, headers),
    body: takes(secret, body + " ", headers),
    time: takes(secret, body, late),
  }));
}
