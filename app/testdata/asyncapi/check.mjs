// Validates the document of the server at ORDERFLOW_URL, as AsyncAPI's own parser sees it.
import { Parser } from "@asyncapi/parser";

const response = await fetch(process.env.ORDERFLOW_URL + "/asyncapi.json");
const { document, diagnostics } = await new Parser().parse(await response.text());
const faults = diagnostics.filter((d) => d.severity <= 1); // errors and warnings
for (const fault of faults) console.error(fault.path.join("."), fault.code, fault.message);
if (!document || faults.length > 0) process.exit(1);
console.log(document.allMessages().length, "messages over", document.allChannels().length, "channels");
