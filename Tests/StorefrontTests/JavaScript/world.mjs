// The environment of a page under a test's control: clocks, timers, randomness and the server.
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// Without a package.json beside it, Node treats a .js file as CommonJS.
const folder = await mkdtemp(join(tmpdir(), 'checkout-token-'));
const copy = join(folder, 'checkout-token.mjs');
await copyFile(new URL('../../../Samples/Storefront/checkout-token.js', import.meta.url), copy);
export const { createCheckoutToken, CheckoutTokenError } = await import(pathToFileURL(copy).href);
await rm(folder, { recursive: true });

/** Runs everything that does not wait for a timer. */
async function settle() {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resume) => setImmediate(resume));
}

/** Replaces the globals for time and randomness until `restore()`. */
export class World {
  steady = 1_000;
  wall = Date.UTC(2026, 9, 21, 7, 28);
  random = 0;
  /** @type {{ id: number, due: number, run: () => void }[]} */
  timers = [];
  #number = 0;
  #saved = {
    setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, random: Math.random, now: Date.now,
    performance: Object.getOwnPropertyDescriptor(globalThis, 'performance'),
  };

  constructor() {
    globalThis.setTimeout = (run, delay = 0) => {
      // Browsers treat an invalid delay like this, too.
      const milliseconds = delay >= 2 ** 31 || !(delay > 0) ? 0 : delay;
      this.timers.push({ id: (this.#number += 1), due: this.steady + milliseconds, run });
      return this.#number;
    };
    globalThis.clearTimeout = (id) => {
      this.timers = this.timers.filter((timer) => timer.id !== id);
    };
    Math.random = () => this.random;
    Date.now = () => this.wall;
    Object.defineProperty(globalThis, 'performance', { configurable: true, value: { now: () => this.steady } });
  }

  restore() {
    const { performance, random, now, ...timers } = this.#saved;
    Object.assign(globalThis, timers);
    Math.random = random;
    Date.now = now;
    Object.defineProperty(globalThis, 'performance', performance);
  }

  /** Lets time pass and runs the timers that are due. */
  async pass(milliseconds) {
    const end = this.steady + milliseconds;
    await settle();
    for (;;) {
      const next = this.timers.filter(({ due }) => due <= end).sort((one, other) => one.due - other.due)[0];
      if (!next) break;
      await this.#run(next);
    }
    this.#move(Math.max(0, end - this.steady));
    await settle();
  }

  /** Lets time pass while the page is frozen. Its timers run afterwards. */
  freeze(milliseconds) {
    this.#move(milliseconds);
  }

  /** Lets the machine sleep, and with it the steady clock. */
  sleep(milliseconds) {
    this.wall += milliseconds;
  }

  setClock(milliseconds) {
    this.wall += milliseconds;
  }

  /** Lets time pass from timer to timer until a promise is settled. */
  async outcome(promise) {
    let result = null;
    promise.then(
      (value) => { result = { value }; },
      (error) => { result = { error }; },
    );
    for (;;) {
      await settle();
      if (result) return result;
      const next = [...this.timers].sort((one, other) => one.due - other.due)[0];
      if (!next) throw new Error('the promise can never settle: no timer is left');
      await this.#run(next);
    }
  }

  async value(promise) {
    const { value, error } = await this.outcome(promise);
    if (error) throw error;
    return value;
  }

  async error(promise) {
    const { value, error } = await this.outcome(promise);
    if (!(error instanceof CheckoutTokenError)) throw new Error(`not a CheckoutTokenError: ${error ?? value}`);
    return error;
  }

  async #run(timer) {
    this.timers = this.timers.filter(({ id }) => id !== timer.id);
    this.#move(Math.max(0, timer.due - this.steady));
    timer.run();
    await settle();
  }

  #move(milliseconds) {
    this.steady += milliseconds;
    this.wall += milliseconds;
  }
}

/** A server that sends the listed responses one after another, and the last one for ever. */
export class Server {
  /** The bodies of the requests, in order of arrival. */
  received = [];
  /** The times at which they arrived. */
  times = [];

  constructor(world, ...answers) {
    this.world = world;
    this.answers = answers;
    this.fetch = async (address, request) => {
      this.address = address;
      this.request = request;
      this.received.push(JSON.parse(request.body));
      this.times.push(world.steady);
      const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
      return answer(request);
    };
  }

  get count() {
    return this.received.length;
  }

  get replaced() {
    return this.received.map(({ replaces }) => replaces ?? null);
  }

  /** The pauses between the requests. */
  get pauses() {
    return this.times.slice(1).map((time, index) => time - this.times[index]);
  }
}

export function json(body, { status = 200, type = 'application/json', ...fields } = {}) {
  return () => new Response(JSON.stringify(body), { status, headers: { 'Content-Type': type, ...fields } });
}

/** A response with the token of this number. */
export function good(number, { life = 900, ...more } = {}) {
  return json({
    token: `token-${number}`, tokenId: `id-${number}`, expiresIn: life, expiresAt: '2026-10-21T07:43:00Z',
    environment: 'sandbox', ...more,
  });
}

/** A response with the broker's own error schema. */
export function problem(status, code, fields = {}) {
  const body = { type: 'about:blank', status, title: `title of ${code}`, error: `title of ${code}`, code, incident: 'i1' };
  return json(body, { status, type: 'application/problem+json', ...fields });
}

/** Never responds, and rejects when the request is aborted. */
export function silence({ signal }) {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

/** Never settles, even when the request is aborted. */
export function deaf() {
  return new Promise(() => {});
}

export function broken() {
  throw new TypeError('Failed to fetch');
}
