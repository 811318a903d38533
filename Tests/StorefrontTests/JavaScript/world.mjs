// A page's surroundings that a test controls: clocks, timers, chance and the server.
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// Without a package.json beside it, Node takes a .js file for CommonJS.
const folder = await mkdtemp(join(tmpdir(), 'checkout-token-'));
const copy = join(folder, 'checkout-token.mjs');
await copyFile(new URL('../../../Samples/Storefront/checkout-token.js', import.meta.url), copy);
export const { createCheckoutToken, CheckoutTokenError } = await import(pathToFileURL(copy).href);
await rm(folder, { recursive: true });

/** Lets everything happen that waits for no timer. */
async function settle() {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resume) => setImmediate(resume));
}

/** Replaces the globals of time and chance until `restore()`. */
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
      // As a browser does with what it cannot count.
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

  /** Time passes, and timers that are due run. */
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

  /** Time passes, but not for the page, whose timers run afterwards. */
  freeze(milliseconds) {
    this.#move(milliseconds);
  }

  /** The machine sleeps, and with it the steady clock. */
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
      if (!next) throw new Error('nothing is going to happen any more');
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

/** A server that answers one request after the other as the list says, the last for ever. */
export class Server {
  /** Bodies, in the order in which they came. */
  received = [];
  /** When they came. */
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

  /** Between one request and the next. */
  get pauses() {
    return this.times.slice(1).map((time, index) => time - this.times[index]);
  }
}

export function json(body, { status = 200, type = 'application/json', ...fields } = {}) {
  return () => new Response(JSON.stringify(body), { status, headers: { 'Content-Type': type, ...fields } });
}

/** A token with this number. */
export function good(number, { life = 900, ...more } = {}) {
  return json({
    token: `token-${number}`, tokenId: `id-${number}`, expiresIn: life, expiresAt: '2026-10-21T07:43:00Z',
    environment: 'sandbox', ...more,
  });
}

/** The broker's own words. */
export function problem(status, code, fields = {}) {
  const body = { type: 'about:blank', status, title: `title of ${code}`, error: `title of ${code}`, code, incident: 'i1' };
  return json(body, { status, type: 'application/problem+json', ...fields });
}

/** Never answers, and ends when the request is aborted. */
export function silence({ signal }) {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

/** Never answers, whatever happens. */
export function deaf() {
  return new Promise(() => {});
}

export function broken() {
  throw new TypeError('Failed to fetch');
}
