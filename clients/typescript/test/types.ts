// Compiled, not run: what the types promise to a program.
import { type EventType, follow, type OrderEvent, type Reset, verifyWebhook } from "@orderflow/client";
import type { OrderShippedEvent } from "@orderflow/client/events";

export async function byType(): Promise<void> {
  for await (const event of follow({ url: "http://localhost:3000", token: "x", types: ["order.created"] })) {
    switch (event.type) {
      case "reset": {
        const reset: Reset = event;
        void reset.cursor;
        break;
      }
      case "order.created": {
        const amount: number = event.data.order.total.amount;
        void amount;
        break;
      }
      case "order.shipped": {
        const shipped: OrderShippedEvent = event;
        // @ts-expect-error only a created order has the whole order
        void shipped.data.order;
        break;
      }
      // @ts-expect-error there is no such type
      case "order.creatd":
        break;
    }
  }
  // @ts-expect-error there is no such type
  const wrong: EventType = "order.creatd";
  void wrong;
}

/** Fails to compile if a type of event is not handled. */
export function isKnown(type: OrderEvent["type"]): boolean {
  const known: Record<EventType, true> = {
    "order.cancelled": true, "order.checked": true, "order.completed": true, "order.confirmed": true, "order.created": true, "order.deleted": true,
    "order.failed": true, "order.held": true, "order.processing": true, "order.released": true, "order.reopened": true, "order.retried": true,
    "order.shipped": true, "order.skipped": true, "order.stalled": true, "payment.authorized": true, "payment.captured": true, "payment.declined": true,
    "payment.refund_failed": true, "payment.refund_requested": true, "payment.refunded": true, "payment.voided": true, "stock.released": true, "stock.reserved": true,
  };
  return known[type];
}

export async function received(request: Request): Promise<string> {
  const event = await verifyWebhook({ body: await request.arrayBuffer(), headers: request.headers, secret: ["a", "b"] });
  return event.type === "webhook.test" ? event.id : `${event.subject} ${event.deliverynumber}`;
}
