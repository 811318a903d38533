// @ts-check
/**
 * Gets checkout tokens from a TokenBroker endpoint. This file stands alone: copy it into your page's code.
 *
 *     // Once for each customer and invoice, outside of what mounts and unmounts.
 *     const checkoutToken = createCheckoutToken({ customerId, invoiceId });
 *
 *     // Each time a client is made. `forClient()` resolves to `accessToken` and `onAccessTokenExpired`.
 *     const client = await AlternativeClient.create({
 *       ...(await checkoutToken.forClient()),
 *       environment: 'production',
 *     });
 *
 * A page with a single client can also write it out:
 *
 *     const client = await AlternativeClient.create({
 *       accessToken: await checkoutToken.get(),
 *       environment: 'production',
 *       onAccessTokenExpired: checkoutToken,
 *     });
 *
 * `get()` shares the current token. Calling `checkoutToken()` itself means that the current token was refused, which is
 * what the SDK means when it calls `onAccessTokenExpired`.
 *
 * The token is kept in memory and given to the caller. It is never written to storage, a log or an error.
 */

/**
 * @typedef {object} CheckoutTokenOptions
 * @property {string} customerId The vendor's id of the customer.
 * @property {string} invoiceId The vendor's id of the invoice.
 * @property {string | URL} [endpoint] The broker's address. `/api/checkout-token` by default.
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers]
 *   Fields to send along, for instance your own `Authorization`. A function is called before each request.
 * @property {RequestCredentials} [credentials] `same-origin` by default. `include` sends cookies to another origin.
 * @property {number} [timeout] Milliseconds that one request may take, `headers()` included. 10,000 by default.
 *   Keep it longer than the broker's `route.timeout`.
 * @property {number} [maxWait] Milliseconds after which no further request is sent. 20,000 by default. A request that
 *   was sent before still gets its whole `timeout`, so a call ends within both together. `Infinity` is allowed.
 * @property {AbortSignal} [signal] Ends everything: the request under way, pauses, and all later calls.
 * @property {(pause: CheckoutTokenPause) => void} [onWait] Called before each pause, to tell the payer.
 * @property {typeof globalThis.fetch} [fetch] Sends the request. The browser's `fetch` by default.
 */

/**
 * @typedef {object} CheckoutTokenCall
 * @property {AbortSignal} [signal] Ends the wait of this call only. The request goes on for those who share it.
 */

/**
 * @typedef {object} CheckoutTokenPause
 * @property {number} seconds Time until the next request.
 * @property {CheckoutTokenError} error Why the last request failed.
 */

/**
 * What may be shown and logged about a token.
 *
 * @typedef {object} CheckoutTokenInfo
 * @property {string} tokenId Identifies the token without revealing anything about it.
 * @property {Date} expiresAt When the token ends, by the vendor's clock. The browser's clock may differ by hours.
 * @property {number} expiresIn Whole seconds of life that the token had when it was given.
 * @property {number} timeLeft Milliseconds of life left, 0 at the end. Does not depend on the browser's time of day.
 *   Time during which the machine slept may not be counted.
 * @property {string | null} environment The vendor's environment that the token belongs to.
 */

/**
 * For one client of the SDK. `onAccessTokenExpired` remembers which token its client has.
 *
 * @typedef {object} CheckoutTokenForClient
 * @property {string} accessToken
 * @property {() => Promise<string>} onAccessTokenExpired
 */

/**
 * @typedef {object} CheckoutTokenMethods
 * @property {(call?: CheckoutTokenCall) => Promise<string>} get
 *   Resolves to the current token. Sends a request only if there is none, or if it has ended or was refused.
 * @property {(token?: string, call?: CheckoutTokenCall) => Promise<string>} refused
 *   Resolves to a token other than the given one, which the vendor refused. The current token if none is given.
 * @property {(call?: CheckoutTokenCall) => Promise<CheckoutTokenForClient>} forClient
 *   Resolves to the current token and to an `onAccessTokenExpired` for the client that uses it.
 * @property {CheckoutTokenInfo | null} current Describes the token that was obtained last.
 */

/** @typedef {(() => Promise<string>) & Readonly<CheckoutTokenMethods>} CheckoutToken */

/** @typedef {keyof typeof statusOfCode} BrokerCode */

/**
 * The broker's codes, apart from `unauthenticated`, which is part of `sign_in`, and:
 *
 * - `sign_in`: nobody is signed in. A 401, a redirect or a web page came instead of an answer.
 * - `network`: no answer came. `timeout`: none came in time.
 * - `http_error`: an error that is not in the broker's words, for instance from a proxy.
 * - `invalid_answer`: a success that is not a checkout token, or is the token that was refused.
 * - `blocked`: the page's Content-Security-Policy forbids the request.
 * - `aborted`: the `signal` was aborted.
 * - `invalid_options`: the request cannot be sent like this. Nothing was sent.
 * - `callback_failed`: `headers` or `onWait` threw.
 *
 * @typedef {Exclude<BrokerCode, 'unauthenticated'> | 'sign_in' | 'network' | 'timeout' | 'http_error'
 *   | 'invalid_answer' | 'blocked' | 'aborted' | 'invalid_options' | 'callback_failed'} CheckoutTokenErrorCode
 */

/**
 * @typedef {object} CheckoutTokenErrorDetails
 * @property {number | null} [status]
 * @property {BrokerCode | null} [brokerCode]
 * @property {number | null} [retryAfter]
 * @property {string | null} [incident]
 * @property {unknown} [cause]
 */

/** Why there is no token. Every failure of this module is one of these. */
export class CheckoutTokenError extends Error {
  /**
   * @param {CheckoutTokenErrorCode} code
   * @param {string} message
   * @param {CheckoutTokenErrorDetails} details
   */
  constructor(code, message, { status = null, brokerCode = null, retryAfter = null, incident = null, cause } = {}) {
    super(message);
    this.name = 'CheckoutTokenError';
    /** What went wrong. */
    this.code = code;
    /** The HTTP status; `null` if no answer came or it cannot be seen. */
    this.status = status;
    /** The code in the broker's answer; `null` if the answer was not the broker's. */
    this.brokerCode = brokerCode;
    /** Seconds after which it may be tried again, if the answer said so. */
    this.retryAfter = retryAfter;
    /** An id that is also in the broker's log. */
    this.incident = incident;
    /** What was thrown by the browser or by a function of the page; `undefined` if an answer came. */
    this.cause = cause;
  }
}

/**
 * Makes the source of tokens for one customer and one invoice. Sends nothing and never throws: each call tells what is
 * wrong with the options.
 *
 * @param {CheckoutTokenOptions} options
 * @returns {CheckoutToken} Calls reject with a `CheckoutTokenError`. Calls that need a new token share one request.
 */
export function createCheckoutToken(options) {
  const ready = (async () => checked(options))();
  ready.catch(() => {});
  /** @type {Held | null} */
  let held = null;
  /** @type {Promise<Held> | null} */
  let underWay = null;

  /** @param {CheckoutTokenCall} [call] */
  async function get(call) {
    const { signal } = await ready;
    checkSignal(call?.signal);
    for (const one of [signal, call?.signal]) if (one?.aborted) throw aborted(one);
    if (held?.isUsable()) return held.token;
    underWay ??= renew().finally(() => {
      underWay = null;
    });
    return (await unlessAborted(underWay, call?.signal)).token;
  }

  /**
   * @param {string} [token]
   * @param {CheckoutTokenCall} [call]
   */
  async function refused(token, call) {
    // The refusal of an older token says nothing about the current one, which its user gets instead.
    if (held && (typeof token !== 'string' || token === held.token)) held.isRefused = true;
    return get(call);
  }

  /** @param {CheckoutTokenCall} [call] */
  async function forClient(call) {
    let token = await get(call);
    return {
      accessToken: token,
      onAccessTokenExpired: async () => {
        token = await refused(token, call);
        return token;
      },
    };
  }

  async function renew() {
    const settings = await ready;
    const spent = stopwatch();
    const isAlive = held !== null && held.info.timeLeft > 0;
    let next = await ask(settings, spent, held?.isRefused && isAlive ? held.info.tokenId : undefined);
    // The broker has not been told that the token was refused, if the page thought that it had ended.
    const isRefused = () => held?.isRefused && held.token === next.token;
    if (isRefused()) next = await ask(settings, spent, next.info.tokenId);
    if (isRefused()) {
      throw new CheckoutTokenError('invalid_answer', 'The server gave the refused token again.', { status: 200 });
    }
    held = next;
    return next;
  }

  const checkoutToken = Object.assign(() => refused(), { get, refused, forClient });
  const current = { get: () => held?.info ?? null };
  return /** @type {CheckoutToken} */ (Object.defineProperty(checkoutToken, 'current', current));
}

// MARK: Options

/** @typedef {ReturnType<typeof checked>} Settings */

/**
 * The options, if they can be used.
 *
 * @param {CheckoutTokenOptions} options
 */
function checked(options) {
  /** @type {ReturnType<typeof completed>} */
  let all;
  try {
    all = completed(options);
  } catch (cause) {
    throw new CheckoutTokenError('invalid_options', 'The options cannot be used.', { cause });
  }
  for (const name of /** @type {const} */ (['customerId', 'invoiceId'])) {
    check(typeof all[name] === 'string' && all[name] !== '', `${name} is not a text.`);
  }
  for (const name of /** @type {const} */ (['timeout', 'maxWait'])) {
    check(typeof all[name] === 'number' && all[name] > 0, `${name} is not a number above 0.`);
  }
  for (const name of /** @type {const} */ (['onWait', 'fetch'])) {
    check(typeof all[name] === 'function', `${name} is not a function.`);
  }
  check(['http:', 'https:'].includes(all.address.protocol), 'endpoint is not an address of http or https.');
  checkSignal(all.signal);
  return {
    ...all,
    timeout: Math.min(all.timeout, all.maxWait, longestTimer),
    maxWait: Math.min(all.maxWait, longestTimer),
  };
}

/** @param {CheckoutTokenOptions} options */
function completed({
  customerId, invoiceId, endpoint = '/api/checkout-token', headers = {}, credentials = 'same-origin', timeout = 10_000,
  maxWait = 20_000, signal, onWait = () => {}, fetch,
}) {
  // Outside of a page, only a `fetch` of one's own can make something of a path.
  const page = globalThis.document?.baseURI ?? globalThis.location?.href ?? (fetch && 'http://localhost');
  return {
    customerId, invoiceId, endpoint, headers, credentials, timeout, maxWait, signal, onWait,
    address: new URL(endpoint, page),
    /** @type {typeof globalThis.fetch} Looked up for each request, since monitoring tools replace it. */
    fetch: fetch === undefined ? (...request) => globalThis.fetch(...request) : fetch,
  };
}

/**
 * @param {boolean} isGiven
 * @param {string} otherwise
 */
function check(isGiven, otherwise) {
  if (!isGiven) throw new CheckoutTokenError('invalid_options', otherwise, { cause: new TypeError(otherwise) });
}

/** @param {AbortSignal | undefined} signal */
function checkSignal(signal) {
  const isSignal = typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function';
  check(signal === undefined || isSignal, 'signal is not an AbortSignal.');
}

/** A timer with more milliseconds ends at once. */
const longestTimer = 2 ** 31 - 1;

// MARK: Requests

/**
 * Sends requests until one is answered with a token, or until no other can be expected to fare better.
 *
 * @param {Settings} settings
 * @param {() => number} spent Milliseconds of `maxWait`.
 * @param {string | undefined} replaces
 */
async function ask(settings, spent, replaces) {
  const { customerId, invoiceId, maxWait, onWait, signal } = settings;
  const body = JSON.stringify({ customerId, invoiceId, replaces });
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await send(settings, body);
    } catch (error) {
      if (!(error instanceof CheckoutTokenError) || !mayPass(error)) throw error;
      const pause = pauseAfter(error, attempt);
      if (spent() + pause >= maxWait) throw error;
      const told = called(onWait, { seconds: pause / 1000, error });
      const over = sleep(pause, signal);
      await Promise.race([over, told.then(() => over)]);
      // The pause was longer than planned if the page was frozen, or in the back-forward cache.
      if (spent() >= maxWait) throw error;
    }
  }
}

/**
 * Sends one request.
 *
 * @param {Settings} settings
 * @param {string} body
 */
function send(settings, body) {
  const { address, endpoint, headers, credentials, timeout, signal, fetch } = settings;
  return within(timeout, signal, async (ended) => {
    const fields = typeof headers === 'function' ? await called(headers) : headers;
    /** @type {RequestInit} */
    let request;
    try {
      const all = new Headers(fields);
      all.set('Content-Type', 'application/json');
      all.set('Accept', 'application/json, application/problem+json');
      request = { method: 'POST', headers: all, body, credentials, cache: 'no-store', redirect: 'manual' };
      // Throws where `fetch` would: for an address with a user in it, a field that cannot be sent and the like.
      if (typeof Request === 'function') new Request(address.href, request);
    } catch (cause) {
      throw new CheckoutTokenError('invalid_options', 'The browser cannot send such a request.', { cause });
    }
    if (ended.aborted) throw aborted(ended);
    const life = lifeSinceNow();
    const policy = watchPolicy(address);
    try {
      const answer = await read(await fetch(endpoint, { ...request, signal: ended }));
      return token(answer, life);
    } catch (cause) {
      if (cause instanceof CheckoutTokenError) throw cause;
      if (await policy.forbids()) {
        throw new CheckoutTokenError('blocked', 'The page’s Content-Security-Policy forbids the request.', { cause });
      }
      const message = 'The server cannot be reached, or does not allow requests from this page.';
      throw new CheckoutTokenError('network', message, { cause });
    } finally {
      policy.end();
    }
  });
}

/**
 * Whether a Content-Security-Policy forbids requests to an address. The browser tells it by an event only.
 *
 * @param {URL} address
 */
function watchPolicy({ href, origin, hash }) {
  let isViolated = false;
  /** @param {SecurityPolicyViolationEvent} violation */
  const note = ({ disposition, effectiveDirective, blockedURI }) => {
    const isAddress = blockedURI === origin || blockedURI === href.slice(0, href.length - hash.length);
    if (disposition === 'enforce' && effectiveDirective === 'connect-src' && isAddress) isViolated = true;
  };
  const canTell = typeof globalThis.addEventListener === 'function';
  if (canTell) globalThis.addEventListener('securitypolicyviolation', note);
  return {
    /** The event comes in a turn of its own, after `fetch` has failed. */
    async forbids() {
      if (canTell && !isViolated) await new Promise((resume) => setTimeout(resume, 20));
      return isViolated;
    },
    end() {
      if (canTell) globalThis.removeEventListener('securitypolicyviolation', note);
    },
  };
}

/** @param {CheckoutTokenError} error Whether a later request may fare better. */
function mayPass({ status, code }) {
  if (status === null) return code === 'network' || code === 'timeout';
  return [408, 425, 429, 502, 503, 504, 520, 521, 522, 523, 524].includes(status);
}

/**
 * Milliseconds: what the answer asked for, but never less than a pause that doubles each time. Some of it is random, so
 * that many pages do not come back at the same moment.
 *
 * @param {CheckoutTokenError} error
 * @param {number} attempt
 */
function pauseAfter({ retryAfter }, attempt) {
  const backOff = Math.min(500 * 2 ** attempt, 30_000);
  return Math.max(backOff, (retryAfter ?? 0) * 1000) + (Math.random() * backOff) / 2;
}

// MARK: Answers

/** @typedef {Awaited<ReturnType<typeof read>>} Answer */

/** @param {Response} response */
async function read(response) {
  const { status, ok, type, headers } = response;
  return {
    status, isSuccess: ok,
    isRedirect: type === 'opaqueredirect' || (status >= 300 && status < 400),
    contentType: (headers.get('Content-Type') ?? '').replace(/;.*/, '').trim().toLowerCase(),
    retryAfter: secondsIn(headers.get('Retry-After'), headers.get('Date')),
    text: await response.text(),
  };
}

/**
 * The token in an answer.
 *
 * @param {Answer} answer
 * @param {ReturnType<typeof lifeSinceNow>} life
 */
function token(answer, life) {
  const { status, isSuccess, isRedirect, contentType } = answer;
  if (isRedirect || (isSuccess && contentType === 'text/html')) {
    // The status of a redirect that is not followed is 0.
    throw new CheckoutTokenError('sign_in', 'The server wants a sign-in.', { status: status || null });
  }
  if (!isSuccess) throw problem(answer);
  const { token: text, tokenId, expiresIn, expiresAt, environment } = members(answer);
  const end = instantIn(expiresAt);
  const isComplete = typeof text === 'string' && text !== '' && typeof tokenId === 'string' && tokenId !== ''
    && Number.isSafeInteger(expiresIn) && Number(expiresIn) >= 0 && end !== null;
  if (!isComplete) throw new CheckoutTokenError('invalid_answer', 'The answer is not a checkout token.', { status });
  const info = {
    tokenId, expiresAt: new Date(end), expiresIn: Number(expiresIn),
    environment: typeof environment === 'string' ? environment : null,
  };
  return new Held(text, info, life);
}

/** The status that each of the broker's codes comes with. */
const statusOfCode = Object.freeze({
  invalid_request: 400, unauthenticated: 401, forbidden: 403, method_not_allowed: 405, too_slow: 408, too_large: 413,
  unsupported_media_type: 415, session_rejected: 422, too_many_requests: 429, misconfigured: 500, vendor_busy: 503,
  vendor_unavailable: 503, access_unavailable: 503,
});

/**
 * Proxies and gateways answer in the broker's place as well, some with a `code` of their own.
 *
 * @param {Answer} answer
 */
function problem(answer) {
  const { status, contentType, retryAfter } = answer;
  const { code, title, incident } = members(answer);
  const isOurs = contentType === 'application/problem+json' && typeof code === 'string'
    && Object.entries(statusOfCode).some(([name, usual]) => name === code && usual === status);
  const brokerCode = isOurs ? /** @type {BrokerCode} */ (code) : null;
  return new CheckoutTokenError(
    status === 401 || brokerCode === 'unauthenticated' ? 'sign_in' : brokerCode ?? 'http_error',
    isOurs && typeof title === 'string' ? title : 'The server did not give a token.',
    { status, brokerCode, retryAfter, incident: isOurs && typeof incident === 'string' ? incident : null },
  );
}

/**
 * The members of a JSON object; none if it is something else.
 *
 * @param {Answer} answer
 * @returns {Record<string, unknown>}
 */
function members({ text }) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

// MARK: The current token

/** A token with what is known of it. */
class Held {
  /**
   * @param {string} token
   * @param {Omit<CheckoutTokenInfo, 'timeLeft'>} info
   * @param {ReturnType<typeof lifeSinceNow>} life
   */
  constructor(token, info, { age, greatestAge }) {
    this.token = token;
    /** Whether the vendor refused it. */
    this.isRefused = false;
    /** @type {CheckoutTokenInfo} */
    this.info = Object.freeze({
      ...info,
      get timeLeft() {
        return Math.max(0, info.expiresIn * 1000 - age());
      },
    });
    this.isUsable = () => !this.isRefused && greatestAge() < info.expiresIn * 1000;
  }
}

/**
 * How old a token is whose request is sent now, in milliseconds.
 *
 * The steady clock of some browsers stands still while the machine sleeps, and the time of day can be set. A token that
 * has ended by either of them is not shared any more.
 */
function lifeSinceNow() {
  const wall = Date.now();
  const age = stopwatch();
  return { age, greatestAge: () => Math.max(age(), Date.now() - wall) };
}

/** Milliseconds since now, whatever happens to the time of day. */
function stopwatch() {
  const start = performance.now();
  return () => performance.now() - start;
}

// MARK: Limits

/**
 * Works on something until the time is up or the signal is aborted, and not on what is left then.
 *
 * @template T
 * @param {number} limit Milliseconds.
 * @param {AbortSignal | undefined} signal
 * @param {(ended: AbortSignal) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function within(limit, signal, work) {
  // `AbortSignal.timeout` is missing in Safari before 16, `AbortSignal.any` in later ones as well.
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    const isOver = new Promise((_, reject) => {
      const end = () => {
        const cause = new DOMException('The time is up.', 'TimeoutError');
        reject(new CheckoutTokenError('timeout', 'The server took too long to answer.', { cause }));
      };
      const spent = stopwatch();
      // A timer that is late was frozen together with the page. What came meanwhile needs a chance to be read.
      timer = setTimeout(() => {
        if (spent() < limit + 1_000) end();
        else timer = setTimeout(end, limit);
      }, limit);
    });
    return await unlessAborted(Promise.race([isOver, work(controller.signal)]), signal);
  } catch (error) {
    controller.abort(error instanceof CheckoutTokenError ? error.cause : error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const end = () => reject(aborted(signal));
    if (signal?.aborted) end();
    signal?.addEventListener('abort', end);
    promise.then(resolve, reject).finally(() => signal?.removeEventListener('abort', end));
  });
}

/** @param {AbortSignal | undefined} signal Without a `reason` in Safari before 15.4. */
function aborted(signal) {
  const cause = signal?.reason ?? new DOMException('The signal was aborted.', 'AbortError');
  return new CheckoutTokenError('aborted', 'The token is not wanted any more.', { cause });
}

/**
 * @param {number} pause Milliseconds.
 * @param {AbortSignal | undefined} signal
 */
async function sleep(pause, signal) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    await unlessAborted(new Promise((resume) => {
      timer = setTimeout(resume, pause);
    }), signal);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What a function of the page returns.
 *
 * @template {unknown[]} Arguments
 * @template Result
 * @param {(...given: Arguments) => Result} callback
 * @param {Arguments} given
 */
async function called(callback, ...given) {
  try {
    return await callback(...given);
  } catch (cause) {
    throw new CheckoutTokenError('callback_failed', 'A function of the page failed.', { cause });
  }
}

// MARK: Times

/**
 * The seconds in `Retry-After`, which is a count of seconds or a date; `null` if it is neither. A date counts from the
 * answer's own `Date`, since the browser's clock may be wrong. Without that, it says nothing.
 *
 * @param {string | null} retryAfter
 * @param {string | null} date
 */
function secondsIn(retryAfter, date) {
  const text = (retryAfter ?? '').trim();
  if (/^[0-9]+$/.test(text)) return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
  const now = httpDate((date ?? '').trim(), Date.now());
  if (now === null) return null;
  const end = httpDate(text, now);
  return end === null ? null : Math.max(0, (end - now) / 1000);
}

const monthNames = 'Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';
const monthName = `(?<month>${monthNames})`;
const dayNames = 'Mon|Tue|Wed|Thu|Fri|Sat|Sun';
const timeOfDay = '(?<hour>[0-9]{2}):(?<minute>[0-9]{2}):(?<second>[0-9]{2})';

/** The three forms of RFC 9110 section 5.6.7. `Date.parse` reads far more as a date, `-5` for instance. */
const httpDates = [
  `(?:${dayNames}), (?<day>[0-9]{2}) ${monthName} (?<year>[0-9]{4}) ${timeOfDay} GMT`,
  `(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>[0-9]{2})-${monthName}-(?<year>[0-9]{2}) ${timeOfDay} GMT`,
  `(?:${dayNames}) ${monthName} (?<day>[ 0-9][0-9]) ${timeOfDay} (?<year>[0-9]{4})`,
].map((form) => new RegExp(`^${form}$`));

/**
 * @param {string} text
 * @param {number} now For the century of a year with two digits, which is at most 50 years ahead.
 * @returns {number | null} Milliseconds since 1970.
 */
function httpDate(text, now) {
  for (const form of httpDates) {
    const parts = form.exec(text)?.groups;
    if (!parts) continue;
    const { year = '', month = '' } = parts;
    const index = monthNames.split('|').indexOf(month);
    if (year.length === 4) return instant(Number(year), index, parts);
    const thisYear = new Date(now).getUTCFullYear();
    const inThisCentury = thisYear - (thisYear % 100) + Number(year);
    return instant(inThisCentury > thisYear + 50 ? inThisCentury - 100 : inThisCentury, index, parts);
  }
  return null;
}

const timestamp = new RegExp(
  `^(?<year>[0-9]{4})-(?<month>[0-9]{2})-(?<day>[0-9]{2})[Tt]${timeOfDay}(?:\\.(?<fraction>[0-9]+))?`
    + '(?:[Zz]|(?<sign>[+-])(?<hours>[0-9]{2}):(?<minutes>[0-9]{2}))$',
);

/**
 * @param {unknown} text As RFC 3339 says.
 * @returns {number | null} Milliseconds since 1970.
 */
function instantIn(text) {
  const parts = typeof text === 'string' ? timestamp.exec(text)?.groups : undefined;
  const local = parts ? instant(Number(parts.year), Number(parts.month) - 1, parts) : null;
  if (!parts || local === null) return null;
  const offset = (Number(parts.hours ?? 0) * 60 + Number(parts.minutes ?? 0)) * 60_000;
  const fraction = Math.trunc(Number(`0.${parts.fraction ?? 0}`) * 1000);
  return local + fraction - (parts.sign === '-' ? -offset : offset);
}

/**
 * @param {number} year
 * @param {number} month From 0.
 * @param {Record<string, string>} rest
 * @returns {number | null} Milliseconds since 1970; `null` if there is no such day or time.
 */
function instant(year, month, { day, hour, minute, second }) {
  const date = new Date(0);
  date.setUTCFullYear(year, month, Number(day));
  // A leap second is taken for the one before.
  date.setUTCHours(Number(hour), Number(minute), Math.min(Number(second), 59));
  const isReal = date.getUTCMonth() === month && date.getUTCDate() === Number(day)
    && Number(minute) < 60 && Number(second) <= 60;
  return isReal ? date.getTime() : null;
}
