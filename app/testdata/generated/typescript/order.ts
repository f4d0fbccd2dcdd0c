// Places an order with the clients of openapi-typescript and @hey-api/openapi-ts, and reads its event.
import createClient from "openapi-fetch";
import type { paths } from "./schema";
import { listEvents, placeOrder } from "./hey";
import type { Event } from "./hey";

declare const process: { env: Record<string, string>; exit(code: number): void };

const headers = { Authorization: `Bearer ${process.env.ORDERFLOW_TOKEN}` };
const options = { baseUrl: process.env.ORDERFLOW_URL, headers };
const items = [{ sku: "KETTLE", quantity: 1 }];

async function withOpenAPITypeScript() {
  const client = createClient<paths>(options);
  const { data, error } = await client.POST("/v1/orders", { body: { items } });
  if (!data) throw new Error(error?.code);
  const events = await client.GET("/v1/events");
  const created = events.data?.data.some((event) => event.type === "order.created" && event.data.order.id === data.id);
  if (!created) throw new Error("openapi-typescript: no event of the order");
}

async function withHeyAPI() {
  const { data, error } = await placeOrder({ ...options, body: { items } });
  if (!data) throw new Error(error?.code);
  const page = await listEvents(options);
  const ofOrder = (event: Event) => event.type === "order.created" && event.data.order.id === data.id;
  if (!page.data?.data.some(ofOrder)) throw new Error("@hey-api/openapi-ts: no event of the order");
}

withOpenAPITypeScript()
  .then(withHeyAPI)
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
