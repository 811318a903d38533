// @ts-check
/**
 * Gets checkout tokens from a TokenBroker endpoint. This file stands alone: copy it into your page's code.
 *
 *     // Once for each customer and invoice, outside of components that mount and unmount.
 *     const checkoutToken = createCheckoutToken({ customerId, invoiceId });
 *
 *     // For each new client. `forClient()` resolves to `accessToken` and `onAccessTokenExpired`.
 *     const client = await AlternativeClient.create({
 *       ...(await checkoutToken.forClient()),
 *       environment: 'production',
 *     });
 *
 * A page with a single client can also pass them itself:
 *
 *     const client = await AlternativeClient.create({
 *       accessToken: await checkoutToken.get(),
 *       environment: 'production',
 *       onAccessTokenExpired: checkoutToken,
 *     });
 *
 * `get()` shares the current token. A call of `checkoutToken()` itself reports that the current token was refused,
 * which is what the SDK means by a call of `onAccessTokenExpired`.
 *
 * The token is kept in memory and passed to the caller. It is never written to storage, a log or an error.
 */

/**
 * @typedef {object} CheckoutTokenOptions
 * @property {string} customerId The vendor's id of the customer.
 * @property {string} invoiceId The vendor's id of the invoice.
 * @property {string | URL} [endpoint] The broker's URL. `/api/checkout-token` by default.
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers]
 *   Header fields to send, for instance your own `Authorization`. A function is called before each request.
 * @property {RequestCredentials} [credentials] `same-origin` by default. `include` sends cookies to another origin.
 * @property {number} [timeout] Milliseconds that one request may take, including `headers()`. 10,000 by default.
 *   Keep it longer than the broker's `route.timeout`.
 * @property {number} [maxWait] Milliseconds after which no further request is sent. 20,000 by default. An earlier
 *   request still gets its whole `timeout`, so a call ends within the sum of both. `Infinity` is allowed.
 * @property {AbortSignal} [signal] Aborts everything: the request in flight, pauses, and all later calls.
 * @property {(pause: CheckoutTokenPause) => void} [onWait] Called before each pause, so that the page can inform the
 *   payer.
 * @property {typeof globalThis.fetch} [fetch] Sends the request. The browser's `fetch` by default.
 */

/**
 * @typedef {object} CheckoutTokenCall
 * @property {AbortSignal} [signal] Aborts the wait of this call only. The request continues for the calls that share
 * it.
 */

/**
 * @typedef {object} CheckoutTokenPause
 * @property {number} seconds Time until the next request.
 * @property {CheckoutTokenError} error Why the last request failed.
 */

/**
 * The properties of a token that may be shown and logged.
 *
 * @typedef {object} CheckoutTokenInfo
 * @property {string} tokenId Identifies the token and reveals nothing about it.
 * @property {Date} expiresAt When the token expires, by the vendor's clock. The browser's clock may differ by hours.
 * @property {number} expiresIn The token's lifetime in whole seconds when the broker returned it.
 * @property {number} timeLeft The remaining lifetime in milliseconds, at least 0. It does not depend on the browser's
 *   time of day. Time during which the machine slept may not be counted.
 * @property {string | null} environment The vendor's environment that the token belongs to.
 */

/**
 * The token and callback for one client of the SDK. `onAccessTokenExpired` remembers which token its client has.
 *
 * @typedef {object} CheckoutTokenForClient
 * @property {string} accessToken
 * @property {() => Promise<string>} onAccessTokenExpired
 */

/**
 * @typedef {object} CheckoutTokenMethods
 * @property {(call?: CheckoutTokenCall) => Promise<string>} get
 *   Resolves to the current token. Sends a request only if there is none, or if it has expired or was refused.
 * @property {(token?: string, call?: CheckoutTokenCall) => Promise<string>} refused
 *   Resolves to a token other than the given one, which the vendor refused. Without an argument, the current token was
 *   refused.
 * @property {(call?: CheckoutTokenCall) => Promise<CheckoutTokenForClient>} forClient
 *   Resolves to the current token and to an `onAccessTokenExpired` for the client that uses it.
 * @property {CheckoutTokenInfo | null} current Describes the latest token.
 */

/** @typedef {(() => Promise<string>) & Readonly<CheckoutTokenMethods>} CheckoutToken */

/** @typedef {keyof typeof statusOfCode} BrokerCode */

/**
 * The broker's codes, except `unauthenticated`, which is part of `sign_in`, and these:
 *
 * - `sign_in`: nobody is signed in. The response was a 401, a redirect or a web page.
 * - `network`: there was no response. `timeout`: there was none in time.
 * - `http_error`: an error that is not in the broker's format, for instance from a proxy.
 * - `invalid_answer`: a successful response that is not a checkout token, or has the token that was refused.
 * - `blocked`: the page's Content-Security-Policy forbids the request.
 * - `aborted`: the `signal` was aborted.
 * - `invalid_options`: the options are invalid, or the request cannot be sent. Nothing was sent.
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

/** An error of this module. Every failure is one of these. */
export class CheckoutTokenError extends Error {
  /**
   * @param {CheckoutTokenErrorCode} code
   * @param {string} message
   * @param {CheckoutTokenErrorDetails} details
   */
  constructor(code, message, { status = null, brokerCode = null, retryAfter = null, incident = null, cause } = {}) {
    super(message);
    this.name = 'CheckoutTokenError';
    /** The kind of error. */
    this.code = code;
    /** The HTTP status; `null` if there was no response or its status is hidden. */
    this.status = status;
    /** The code in the broker's response; `null` if the response was not the broker's. */
    this.brokerCode = brokerCode;
    /** The seconds after which to try again, if the response stated them. */
    this.retryAfter = retryAfter;
    /** An id that is also in the broker's log. */
    this.incident = incident;
    /** The error that the browser or a callback of the page threw; `undefined` if there was a response. */
    this.cause = cause;
  }
}

/**
 * Creates a source of tokens for one customer and one invoice. It sends nothing and never throws: each call rejects if
 * the options are invalid.
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
    // The refusal of an older token says nothing about the current one, so the caller gets that one.
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
    // If the page considered the token expired, the broker does not know yet that the vendor refused it.
    const isRefused = () => held?.isRefused && held.token === next.token;
    if (isRefused()) next = await ask(settings, spent, next.info.tokenId);
    if (isRefused()) {
      throw new CheckoutTokenError('invalid_answer', 'The server returned the refused token again.', { status: 200 });
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
 * Returns the complete options, or throws if they are invalid.
 *
 * @param {CheckoutTokenOptions} options
 */
function checked(options) {
  /** @type {ReturnType<typeof completed>} */
  let all;
  try {
    all = completed(options);
  } catch (cause) {
    throw new CheckoutTokenError('invalid_options', 'The options are invalid.', { cause });
  }
  for (const name of /** @type {const} */ (['customerId', 'invoiceId'])) {
    check(typeof all[name] === 'string' && all[name] !== '', `${name} is not a non-empty string.`);
  }
  for (const name of /** @type {const} */ (['timeout', 'maxWait'])) {
    check(typeof all[name] === 'number' && all[name] > 0, `${name} is not a number above 0.`);
  }
  for (const name of /** @type {const} */ (['onWait', 'fetch'])) {
    check(typeof all[name] === 'function', `${name} is not a function.`);
  }
  check(['http:', 'https:'].includes(all.address.protocol), 'endpoint is not an http or https URL.');
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
  // Outside of a page, only a custom `fetch` can resolve a path.
  const page = globalThis.document?.baseURI ?? globalThis.location?.href ?? (fetch && 'http://localhost');
  return {
    customerId, invoiceId, endpoint, headers, credentials, timeout, maxWait, signal, onWait,
    address: new URL(endpoint, page),
    /** @type {typeof globalThis.fetch} The default is looked up for each request, since monitoring tools replace it. */
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

/** A timer with more milliseconds fires immediately. */
const longestTimer = 2 ** 31 - 1;

// MARK: Requests

/**
 * Sends requests until one returns a token, or until a retry is pointless or too late.
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
      // The pause was longer than planned if the page was frozen or in the back-forward cache.
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
      // This throws where `fetch` would, for instance for a URL with a user name or an invalid field.
      if (typeof Request === 'function') new Request(address.href, request);
    } catch (cause) {
      throw new CheckoutTokenError('invalid_options', 'The browser cannot send this request.', { cause });
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
 * Watches whether a Content-Security-Policy forbids requests to a URL. The browser reports it only with an event.
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
    /** Returns the result after `fetch` has failed. The event arrives in a later task. */
    async forbids() {
      if (canTell && !isViolated) await new Promise((resume) => setTimeout(resume, 20));
      return isViolated;
    },
    end() {
      if (canTell) globalThis.removeEventListener('securitypolicyviolation', note);
    },
  };
}

/** @param {CheckoutTokenError} error Returns whether a retry may succeed. */
function mayPass({ status, code }) {
  if (status === null) return code === 'network' || code === 'timeout';
  return [408, 425, 429, 502, 503, 504, 520, 521, 522, 523, 524].includes(status);
}

/**
 * Returns the pause in milliseconds: the response's `Retry-After`, but at least a pause that doubles each time. A part
 * of it is random, so that many pages do not retry at the same moment.
 *
 * @param {CheckoutTokenError} error
 * @param {number} attempt
 */
function pauseAfter({ retryAfter }, attempt) {
  const backOff = Math.min(500 * 2 ** attempt, 30_000);
  return Math.max(backOff, (retryAfter ?? 0) * 1000) + (Math.random() * backOff) / 2;
}

// MARK: Responses

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
 * Returns the token in a response.
 *
 * @param {Answer} answer
 * @param {ReturnType<typeof lifeSinceNow>} life
 */
function token(answer, life) {
  const { status, isSuccess, isRedirect, contentType } = answer;
  if (isRedirect || (isSuccess && contentType === 'text/html')) {
    // A redirect that is not followed has the status 0.
    throw new CheckoutTokenError('sign_in', 'The server requires a sign-in.', { status: status || null });
  }
  if (!isSuccess) throw problem(answer);
  const { token: text, tokenId, expiresIn, expiresAt, environment } = members(answer);
  const end = instantIn(expiresAt);
  const isComplete = typeof text === 'string' && text !== '' && typeof tokenId === 'string' && tokenId !== ''
    && Number.isSafeInteger(expiresIn) && Number(expiresIn) >= 0 && end !== null;
  if (!isComplete) throw new CheckoutTokenError('invalid_answer', 'The response is not a checkout token.', { status });
  const info = {
    tokenId, expiresAt: new Date(end), expiresIn: Number(expiresIn),
    environment: typeof environment === 'string' ? environment : null,
  };
  return new Held(text, info, life);
}

/** The status of each of the broker's codes. */
const statusOfCode = Object.freeze({
  invalid_request: 400, unauthenticated: 401, forbidden: 403, method_not_allowed: 405, too_slow: 408, too_large: 413,
  unsupported_media_type: 415, session_rejected: 422, too_many_requests: 429, misconfigured: 500, vendor_busy: 503,
  vendor_unavailable: 503, access_unavailable: 503,
});

/**
 * Returns the error in a response. It may come from a proxy or gateway, and some of those have their own `code`.
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
    isOurs && typeof title === 'string' ? title : 'The server did not return a token.',
    { status, brokerCode, retryAfter, incident: isOurs && typeof incident === 'string' ? incident : null },
  );
}

/**
 * Returns the members of a JSON object, or none if the text is not an object.
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

/** A token and its properties. */
class Held {
  /**
   * @param {string} token
   * @param {Omit<CheckoutTokenInfo, 'timeLeft'>} info
   * @param {ReturnType<typeof lifeSinceNow>} life
   */
  constructor(token, info, { age, greatestAge }) {
    this.token = token;
    /** Whether the vendor refused the token. */
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
 * Measures the age, in milliseconds, of a token that is requested now.
 *
 * In some browsers the steady clock stops while the machine sleeps, and the time of day can be set. A token that has
 * expired by either clock is no longer shared.
 */
function lifeSinceNow() {
  const wall = Date.now();
  const age = stopwatch();
  return { age, greatestAge: () => Math.max(age(), Date.now() - wall) };
}

/** Measures the milliseconds from now on, independently of the time of day. */
function stopwatch() {
  const start = performance.now();
  return () => performance.now() - start;
}

// MARK: Limits

/**
 * Runs some work until it ends, the limit is reached or the signal is aborted.
 *
 * @template T
 * @param {number} limit Milliseconds.
 * @param {AbortSignal | undefined} signal
 * @param {(ended: AbortSignal) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function within(limit, signal, work) {
  // Safari before 16 has no `AbortSignal.timeout`, and some later versions have no `AbortSignal.any`.
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    const isOver = new Promise((_, reject) => {
      const end = () => {
        const cause = new DOMException('The request timed out.', 'TimeoutError');
        reject(new CheckoutTokenError('timeout', 'The server took too long to respond.', { cause }));
      };
      const spent = stopwatch();
      // A late timer was frozen together with the page. A response that arrived meanwhile can still be read.
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

/** @param {AbortSignal | undefined} signal It has no `reason` in Safari before 15.4. */
function aborted(signal) {
  const cause = signal?.reason ?? new DOMException('The signal was aborted.', 'AbortError');
  return new CheckoutTokenError('aborted', 'The call was aborted.', { cause });
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
 * Calls a function of the page and returns its result.
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
    throw new CheckoutTokenError('callback_failed', 'A callback of the page failed.', { cause });
  }
}

// MARK: Times

/**
 * Returns the seconds in `Retry-After`, which is a count of seconds or a date; `null` if it is neither. A date is
 * compared with the response's own `Date`, since the browser's clock may be wrong. Without `Date` it is ignored.
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

/** The three date forms of RFC 9110, section 5.6.7. `Date.parse` accepts far more, for instance `-5`. */
const httpDates = [
  `(?:${dayNames}), (?<day>[0-9]{2}) ${monthName} (?<year>[0-9]{4}) ${timeOfDay} GMT`,
  `(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>[0-9]{2})-${monthName}-(?<year>[0-9]{2}) ${timeOfDay} GMT`,
  `(?:${dayNames}) ${monthName} (?<day>[ 0-9][0-9]) ${timeOfDay} (?<year>[0-9]{4})`,
].map((form) => new RegExp(`^${form}$`));

/**
 * @param {string} text
 * @param {number} now Determines the century of a year with two digits, which is at most 50 years ahead.
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
 * @param {unknown} text A timestamp according to RFC 3339.
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
 * @param {number} month The month, counted from 0.
 * @param {Record<string, string>} rest
 * @returns {number | null} Milliseconds since 1970; `null` if there is no such day or time.
 */
function instant(year, month, { day, hour, minute, second }) {
  const date = new Date(0);
  date.setUTCFullYear(year, month, Number(day));
  // A leap second counts as the second before it.
  date.setUTCHours(Number(hour), Number(minute), Math.min(Number(second), 59));
  const isReal = date.getUTCMonth() === month && date.getUTCDate() === Number(day)
    && Number(minute) < 60 && Number(second) <= 60;
  return isReal ? date.getTime() : null;
}
