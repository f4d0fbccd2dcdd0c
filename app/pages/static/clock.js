// What time it is at the server. Its Date headers bound the difference of the two
// clocks; within the bounds they are taken to agree.

const dateMayLag = 2000; // whole seconds, and written at most a second ago

let low = -Infinity;
let high = Infinity;

// observe learns from an answer: when it was asked for and when it had come.
export function observe(date, sent, received) {
  const at = Date.parse(date);
  if (Number.isNaN(at)) return;
  low = Math.max(low, at - received);
  high = Math.min(high, at + dateMayLag - sent);
  if (low > high) [low, high] = [at - received, at + dateMayLag - sent]; // a clock was set
}

export const serverNow = () => Date.now() + Math.min(Math.max(0, low), high);
